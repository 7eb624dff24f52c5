//! From TOML to scenarios: strict, with variants laid over the base.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::{Spanned, Table, Value};

use super::Scenario;

/// Why a file is not a scenario.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// It cannot be decoded.
    #[error("{name}.toml: {message}")]
    Syntax {
        /// The file's name without its ending.
        name: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A variant cannot be decoded.
    #[error("{name}.toml line {line}: variant `{variant}`: {message}")]
    Variant {
        /// The file's name without its ending.
        name: String,
        /// Where the variant begins.
        line: usize,
        /// Its name.
        variant: String,
        /// What is wrong.
        message: String,
    },
    /// A value cannot be used.
    #[error("{scenario}: `{field}` is {value}, but must be {limit}")]
    Range {
        /// The scenario, with its variant.
        scenario: String,
        /// Where.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        limit: &'static str,
    },
    /// There is none of that name.
    #[error("there is no scenario `{name}`; `dalbi sim --list` shows all")]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

/// The base as it is written: a scenario and its variants.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    variant: Vec<Spanned<Table>>,
}

/// The scenarios of the file `name`.toml: one, or one for each `[[variant]]`. A variant has a `name` and
/// whatever it says otherwise than the base; its tables are laid over the base's, its lists replace them.
///
/// # Errors
///
/// On anything that is not understood, also unknown fields, and on values out of range.
pub fn decode(name: &str, text: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let syntax = |error: &toml::de::Error| ScenarioError::Syntax {
        name: name.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    };
    let document: Document = toml::from_str(text).map_err(|error| syntax(&error))?;
    // Decoded from the text, so that errors have lines; the variants are blanked out for it.
    let variants_from = document.variant.first().map_or(text.len(), |variant| {
        // A span begins after or at its header; the header's line begins what is not the base.
        let before = &text[..variant.span().start];
        before.rfind("[[variant]]").unwrap_or(before.len())
    });
    let base_text = &text[..variants_from];
    let mut base: Scenario = toml::from_str(base_text).map_err(|error| syntax(&error))?;
    base.name = name.to_owned();
    check(&base)?;
    if document.variant.is_empty() {
        return Ok(vec![base]);
    }
    let base_table: Table = toml::from_str(base_text).map_err(|error| syntax(&error))?;
    document
        .variant
        .into_iter()
        .map(|variant| {
            let line = text[..variant.span().start].matches('\n').count() + 1;
            laid_over(name, &base_table, variant.into_inner(), line)
        })
        .collect()
}

fn laid_over(
    name: &str,
    base: &Table,
    mut variant: Table,
    line: usize,
) -> Result<Scenario, ScenarioError> {
    let fail = |variant: &str, message: String| ScenarioError::Variant {
        name: name.to_owned(),
        line,
        variant: variant.to_owned(),
        message,
    };
    let Some(Value::String(variant_name)) = variant.remove("name") else {
        return Err(fail("?", "needs a `name`, a string".to_owned()));
    };
    let mut table = base.clone();
    lay_over(&mut table, variant);
    let mut scenario = Scenario::deserialize(Value::Table(table).into_deserializer())
        .map_err(|error: toml::de::Error| fail(&variant_name, error.message().to_owned()))?;
    scenario.name = format!("{name}/{variant_name}");
    check(&scenario)?;
    Ok(scenario)
}

fn lay_over(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => lay_over(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Ranges, so that the world need not ask.
fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
    let within = |field, value: f64, from: f64, to: f64, limit| {
        if (from..=to).contains(&value) {
            return Ok(());
        }
        Err(ScenarioError::Range {
            scenario: scenario.name.clone(),
            field,
            value: value.to_string(),
            limit,
        })
    };
    let share = |field, value| within(field, value, 0.0, 1.0, "a share, 0 to 1");
    let seconds = |field, value| within(field, value, 0.0, 1e4, "0 to 10000 seconds");
    let moment = |field, value| within(field, value, -1e4, 1e4, "-10000 to 10000 seconds");
    let positive = |field, value| within(field, value, 1e-6, 1e6, "more than 0, at most 1000000");
    let factor = |field, value| within(field, value, 0.01, 1000.0, "0.01 to 1000");

    within("load", scenario.load, 0.001, 10.0, "0.001 to 10")?;
    seconds("warm_up_s", scenario.warm_up_s)?;
    within("measured_s", scenario.measured_s, 0.1, 1e4, "0.1 to 10000")?;
    within("deadline_ms", scenario.deadline_ms, 1.0, 1e5, "1 to 100000")?;
    let dispatchers = f64::from(scenario.dispatchers.unwrap_or(1));
    within("dispatchers", dispatchers, 1.0, 1e4, "1 to 10000")?;
    within(
        "work.mean_ms",
        scenario.work.mean_ms,
        0.001,
        1e4,
        "0.001 to 10000",
    )?;
    for class in &scenario.class {
        positive("class.share", class.share)?;
        positive("class.cost", class.cost)?;
    }
    for tenant in &scenario.tenant {
        positive("tenant.share", tenant.share)?;
        positive("tenant.weight", tenant.weight)?;
    }
    let server = scenario.server;
    within("server.cores", server.cores, 0.1, 1e4, "0.1 to 10000")?;
    within("server.spare", server.spare, 0.0, 1e4, "0 to 10000")?;
    within(
        "server.concurrency",
        f64::from(server.concurrency),
        1.0,
        1e6,
        "1 to 1000000",
    )?;
    within(
        "server.queue",
        f64::from(server.queue),
        0.0,
        1e6,
        "0 to 1000000",
    )?;
    seconds("server.warm_up_s", server.warm_up_s)?;
    factor("server.warm_up_factor", server.warm_up_factor)?;
    seconds("server.grace_s", server.grace_s)?;
    for group in &scenario.group {
        if group.share.is_some() == group.count.is_some() {
            return Err(ScenarioError::Range {
                scenario: scenario.name.clone(),
                field: "group",
                value: "without, or with both".to_owned(),
                limit: "given either `share` or `count`",
            });
        }
        share("group.share", group.share.unwrap_or(0.0))?;
        factor("group.slowdown", group.slowdown.unwrap_or(1.0))?;
        within(
            "group.connect_ms",
            group.connect_ms.unwrap_or(0.0),
            0.0,
            1e5,
            "0 to 100000",
        )?;
        share("group.failing", group.failing.unwrap_or(0.0))?;
        moment("group.from_s", group.from_s.unwrap_or(0.0))?;
        moment("group.until_s", group.until_s.unwrap_or(0.0))?;
    }
    if let Some(antagonists) = &scenario.antagonists {
        within(
            "antagonists.share",
            antagonists.share,
            0.0,
            0.99,
            "0 to 0.99",
        )?;
        within(
            "antagonists.state_s",
            antagonists.state_s,
            0.01,
            1e4,
            "0.01 to 10000",
        )?;
        for value in antagonists.spare {
            share("antagonists.spare", value)?;
        }
        for value in antagonists.allocation {
            // A server without a core would be a hung one; say that instead.
            within("antagonists.allocation", value, 0.0, 0.99, "0 to 0.99")?;
        }
    }
    let zones = scenario.network.zones;
    within("network.zones", f64::from(zones), 1.0, 1e3, "1 to 1000")?;
    within(
        "network.one_way_ms",
        scenario.network.one_way_ms,
        0.0,
        1e4,
        "0 to 10000",
    )?;
    let between = scenario.network.between_zones_ms;
    within("network.between_zones_ms", between, 0.0, 1e4, "0 to 10000")?;
    let shares = &scenario.arrivals.zone_shares;
    if !shares.is_empty() && shares.len() != zones as usize {
        return Err(ScenarioError::Range {
            scenario: scenario.name.clone(),
            field: "arrivals.zone_shares",
            value: format!("of {} zones", shares.len()),
            limit: "as long as `network.zones` says",
        });
    }
    for &value in shares {
        positive("arrivals.zone_shares", value)?;
    }
    if let Some(diurnal) = &scenario.arrivals.diurnal {
        positive("arrivals.diurnal.period_s", diurnal.period_s)?;
        within(
            "arrivals.diurnal.amplitude",
            diurnal.amplitude,
            0.0,
            0.99,
            "0 to 0.99",
        )?;
    }
    for step in scenario.arrivals.step.iter().chain(&scenario.arrivals.ramp) {
        moment("arrivals.step.from_s", step.from_s)?;
        within(
            "arrivals.step.until_s",
            step.until_s,
            step.from_s,
            1e4,
            "after `from_s`",
        )?;
        factor("arrivals.step.factor", step.factor)?;
    }
    within("reports.age_s", scenario.reports.age_s, 0.0, 5.0, "0 to 5")?;
    share("reports.lost", scenario.reports.lost)?;
    within(
        "reports.interval_s",
        scenario.reports.interval_s,
        0.01,
        1e3,
        "0.01 to 1000",
    )?;
    within(
        "exchange.interval_s",
        scenario.exchange.interval_s,
        0.01,
        1e3,
        "0.01 to 1000",
    )?;
    within(
        "exchange.delay_ms",
        scenario.exchange.delay_ms,
        0.0,
        1e4,
        "0 to 10000",
    )?;
    for change in &scenario.change {
        moment("change.at_s", change.at_s)?;
        within(
            "change.batches",
            f64::from(change.batches),
            1.0,
            1e3,
            "1 to 1000",
        )?;
        seconds("change.every_s", change.every_s)?;
        within("change.join", change.join, 0.0, 10.0, "0 to 10")?;
        within("change.leave", change.leave, 0.0, 10.0, "0 to 10")?;
        if change.leave > change.join + 0.9 {
            within(
                "change.leave",
                change.leave,
                0.0,
                change.join + 0.9,
                "0.9 above `join` at most",
            )?;
        }
    }
    Ok(())
}
