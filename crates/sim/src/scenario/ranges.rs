//! Which values a scenario may have, so that the world need not ask.

use super::{Arrivals, Group, Scenario, ScenarioError};

/// # Errors
///
/// Names the first value that is out of its range.
pub(super) fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
    let ranges = Ranges(scenario);
    ranges.run()?;
    ranges.servers()?;
    for group in &scenario.group {
        ranges.group(group)?;
    }
    ranges.antagonists()?;
    ranges.network()?;
    ranges.arrivals(&scenario.arrivals)?;
    ranges.news()?;
    ranges.changes()
}

/// One method per part of a scenario, then the kinds of ranges.
struct Ranges<'a>(&'a Scenario);

type Checked = Result<(), ScenarioError>;

impl Ranges<'_> {
    fn run(&self) -> Checked {
        let scenario = self.0;
        self.within("load", scenario.load, 0.001, 10.0, "0.001 to 10")?;
        self.seconds("warm_up_s", scenario.warm_up_s)?;
        self.within("measured_s", scenario.measured_s, 0.1, 1e4, "0.1 to 10000")?;
        self.within("deadline_ms", scenario.deadline_ms, 1.0, 1e5, "1 to 100000")?;
        let dispatchers = f64::from(scenario.dispatchers.unwrap_or(1));
        self.within("dispatchers", dispatchers, 1.0, 1e4, "1 to 10000")?;
        let mean_ms = scenario.work.mean_ms;
        self.within("work.mean_ms", mean_ms, 0.001, 1e4, "0.001 to 10000")?;
        for class in &scenario.class {
            self.positive("class.share", class.share)?;
            self.positive("class.cost", class.cost)?;
        }
        for tenant in &scenario.tenant {
            self.positive("tenant.share", tenant.share)?;
            self.positive("tenant.weight", tenant.weight)?;
        }
        Ok(())
    }

    fn servers(&self) -> Checked {
        let server = &self.0.server;
        self.within("server.cores", server.cores, 0.1, 1e4, "0.1 to 10000")?;
        self.within("server.spare", server.spare, 0.0, 1e4, "0 to 10000")?;
        let concurrency = f64::from(server.concurrency);
        self.within("server.concurrency", concurrency, 1.0, 1e6, "1 to 1000000")?;
        let queue = f64::from(server.queue);
        self.within("server.queue", queue, 0.0, 1e6, "0 to 1000000")?;
        self.seconds("server.warm_up_s", server.warm_up_s)?;
        self.factor("server.warm_up_factor", server.warm_up_factor)?;
        self.seconds("server.grace_s", server.grace_s)
    }

    fn group(&self, group: &Group) -> Checked {
        if group.share.is_some() == group.count.is_some() {
            let found = "without, or with both".to_owned();
            return Err(self.out_of("group", found, "given either `share` or `count`"));
        }
        self.share("group.share", group.share.unwrap_or(0.0))?;
        self.factor("group.slowdown", group.slowdown.unwrap_or(1.0))?;
        let connect_ms = group.connect_ms.unwrap_or(0.0);
        self.within("group.connect_ms", connect_ms, 0.0, 1e5, "0 to 100000")?;
        self.share("group.failing", group.failing.unwrap_or(0.0))?;
        self.moment("group.from_s", group.from_s.unwrap_or(0.0))?;
        self.moment("group.until_s", group.until_s.unwrap_or(0.0))
    }

    fn antagonists(&self) -> Checked {
        let Some(antagonists) = &self.0.antagonists else {
            return Ok(());
        };
        self.within(
            "antagonists.share",
            antagonists.share,
            0.0,
            0.99,
            "0 to 0.99",
        )?;
        let state_s = antagonists.state_s;
        self.within("antagonists.state_s", state_s, 0.01, 1e4, "0.01 to 10000")?;
        for value in antagonists.spare {
            self.share("antagonists.spare", value)?;
        }
        for value in antagonists.allocation {
            // A server without a core would be a hung one; say that instead.
            self.within("antagonists.allocation", value, 0.0, 0.99, "0 to 0.99")?;
        }
        Ok(())
    }

    fn network(&self) -> Checked {
        let network = &self.0.network;
        self.within(
            "network.zones",
            f64::from(network.zones),
            1.0,
            1e3,
            "1 to 1000",
        )?;
        self.within(
            "network.one_way_ms",
            network.one_way_ms,
            0.0,
            1e4,
            "0 to 10000",
        )?;
        let between_ms = network.between_zones_ms;
        self.within(
            "network.between_zones_ms",
            between_ms,
            0.0,
            1e4,
            "0 to 10000",
        )
    }

    fn arrivals(&self, arrivals: &Arrivals) -> Checked {
        let shares = &arrivals.zone_shares;
        if !shares.is_empty() && shares.len() != self.0.network.zones as usize {
            let found = format!("of {} zones", shares.len());
            let limit = "as long as `network.zones` says";
            return Err(self.out_of("arrivals.zone_shares", found, limit));
        }
        for &value in shares {
            self.positive("arrivals.zone_shares", value)?;
        }
        if let Some(diurnal) = &arrivals.diurnal {
            self.positive("arrivals.diurnal.period_s", diurnal.period_s)?;
            let amplitude = diurnal.amplitude;
            self.within(
                "arrivals.diurnal.amplitude",
                amplitude,
                0.0,
                0.99,
                "0 to 0.99",
            )?;
        }
        for step in arrivals.step.iter().chain(&arrivals.ramp) {
            self.moment("arrivals.step.from_s", step.from_s)?;
            let (from_s, until_s) = (step.from_s, step.until_s);
            self.within(
                "arrivals.step.until_s",
                until_s,
                from_s,
                1e4,
                "after `from_s`",
            )?;
            self.factor("arrivals.step.factor", step.factor)?;
        }
        Ok(())
    }

    /// What servers report and dispatchers tell each other.
    fn news(&self) -> Checked {
        let (reports, exchange) = (&self.0.reports, &self.0.exchange);
        self.within("reports.age_s", reports.age_s, 0.0, 5.0, "0 to 5")?;
        self.share("reports.lost", reports.lost)?;
        let limit = "0.01 to 1000";
        self.within("reports.interval_s", reports.interval_s, 0.01, 1e3, limit)?;
        self.within("exchange.interval_s", exchange.interval_s, 0.01, 1e3, limit)?;
        self.within(
            "exchange.delay_ms",
            exchange.delay_ms,
            0.0,
            1e4,
            "0 to 10000",
        )
    }

    fn changes(&self) -> Checked {
        for change in &self.0.change {
            self.moment("change.at_s", change.at_s)?;
            self.within(
                "change.batches",
                f64::from(change.batches),
                1.0,
                1e3,
                "1 to 1000",
            )?;
            self.seconds("change.every_s", change.every_s)?;
            self.within("change.join", change.join, 0.0, 10.0, "0 to 10")?;
            let most = change.join + 0.9;
            self.within(
                "change.leave",
                change.leave,
                0.0,
                most,
                "0 to 0.9 more than `join`",
            )?;
        }
        Ok(())
    }

    fn share(&self, field: &'static str, value: f64) -> Checked {
        self.within(field, value, 0.0, 1.0, "a share, 0 to 1")
    }

    fn seconds(&self, field: &'static str, value: f64) -> Checked {
        self.within(field, value, 0.0, 1e4, "0 to 10000 seconds")
    }

    fn moment(&self, field: &'static str, value: f64) -> Checked {
        self.within(field, value, -1e4, 1e4, "-10000 to 10000 seconds")
    }

    fn positive(&self, field: &'static str, value: f64) -> Checked {
        self.within(field, value, 1e-6, 1e6, "more than 0, at most 1000000")
    }

    fn factor(&self, field: &'static str, value: f64) -> Checked {
        self.within(field, value, 0.01, 1000.0, "0.01 to 1000")
    }

    fn within(
        &self,
        field: &'static str,
        value: f64,
        from: f64,
        to: f64,
        limit: &'static str,
    ) -> Checked {
        // Not-a-number is in no range.
        match (from..=to).contains(&value) {
            true => Ok(()),
            false => Err(self.out_of(field, value.to_string(), limit)),
        }
    }

    fn out_of(&self, field: &'static str, value: String, limit: &'static str) -> ScenarioError {
        ScenarioError::Range {
            scenario: self.0.name.clone(),
            field,
            value,
            limit,
        }
    }
}
