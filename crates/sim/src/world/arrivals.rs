//! Which requests come, and when. Follows from the scenario, the size and the seed alone.

use alba::Rng;

use super::flights::Arrived;
use super::seconds;
use crate::draws::{self, Stream};
use crate::scenario::{Law, Scenario, Size};

/// Requests in order of time.
#[derive(Debug)]
pub(crate) struct Arrivals {
    rng: Rng,
    scenario: Scenario,
    dispatchers: u32,
    /// Requests per second when all factors are 1, and the most there can ever be.
    base_per_s: f64,
    most_per_s: f64,
    /// When the measured time begins.
    begin: u64,
    classes: Vec<f64>,
    means_s: Vec<f64>,
    tenants: Vec<f64>,
    zones: Vec<f64>,
}

/// The mean of a standard normal plus 1, given that it is positive: 1 + φ(1) / Φ(1).
const TRUNCATED_NORMAL_MEAN: f64 = 1.287_599_970_939_179;

/// Prequal's and common traces' tail: finite mean, infinite variance.
const PARETO_SHAPE: f64 = 1.5;

impl Arrivals {
    pub(crate) fn new(scenario: &Scenario, size: Size, seed: u64, begin: u64) -> Self {
        let mean_s = scenario.work.mean_ms / 1e3;
        let shares: f64 = scenario.class.iter().map(|class| class.share).sum();
        let mean_cost: f64 = scenario
            .class
            .iter()
            .map(|class| class.share / shares * class.cost)
            .sum();
        let means_s = if scenario.class.is_empty() {
            vec![mean_s]
        } else {
            scenario
                .class
                .iter()
                .map(|class| mean_s * class.cost / mean_cost)
                .collect()
        };
        let base_per_s = scenario.load * scenario.server.cores * f64::from(size.servers) / mean_s;
        let arrivals = &scenario.arrivals;
        let swing = arrivals
            .diurnal
            .map_or(1.0, |diurnal| 1.0 + diurnal.amplitude);
        let steps: f64 = arrivals
            .step
            .iter()
            .chain(&arrivals.ramp)
            .map(|step| step.factor.max(1.0))
            .product();
        Self {
            rng: draws::stream(seed, Stream::Arrivals, 0),
            dispatchers: size.dispatchers,
            base_per_s,
            most_per_s: base_per_s * swing * steps,
            begin,
            classes: draws::cumulated(scenario.class.iter().map(|class| class.share)),
            means_s,
            tenants: draws::cumulated(scenario.tenant.iter().map(|tenant| tenant.share)),
            zones: draws::cumulated(arrivals.zone_shares.iter().copied()),
            scenario: scenario.clone(),
        }
    }

    /// When the next request after `now` comes (thinning, Lewis and Shedler 1979).
    pub(crate) fn next_at(&mut self, now: u64) -> u64 {
        let mut at = now;
        loop {
            let gap_s = draws::exponential(&mut self.rng) / self.most_per_s;
            at += seconds(gap_s).max(1);
            if self.base_per_s == self.most_per_s && self.is_steady() {
                return at;
            }
            if self.rng.unit() * self.most_per_s < self.rate_per_s(at) {
                return at;
            }
        }
    }

    fn is_steady(&self) -> bool {
        let arrivals = &self.scenario.arrivals;
        arrivals.diurnal.is_none() && arrivals.step.is_empty() && arrivals.ramp.is_none()
    }

    fn rate_per_s(&self, at: u64) -> f64 {
        let at_s = (at as f64 - self.begin as f64) / 1e9;
        let arrivals = &self.scenario.arrivals;
        let mut rate = self.base_per_s;
        if let Some(diurnal) = arrivals.diurnal {
            let phase = std::f64::consts::TAU * at_s / diurnal.period_s;
            rate *= 1.0 + diurnal.amplitude * phase.sin();
        }
        for step in &arrivals.step {
            if (step.from_s..step.until_s).contains(&at_s) {
                rate *= step.factor;
            }
        }
        if let Some(ramp) = arrivals.ramp {
            let along = (at_s - ramp.from_s) / (ramp.until_s - ramp.from_s).max(1e-9);
            rate *= 1.0 + (ramp.factor - 1.0) * along.clamp(0.0, 1.0);
        }
        rate
    }

    /// The request that comes at `at`.
    pub(crate) fn draw(&mut self, at: u64, measured: bool) -> Arrived {
        let rng = &mut self.rng;
        let zones = self.scenario.network.zones;
        let class = draws::weighted(rng, &self.classes);
        let tenant = draws::weighted(rng, &self.tenants);
        let (dispatcher, zone) = if self.zones.is_empty() {
            let dispatcher = rng.below(self.dispatchers);
            (dispatcher, dispatcher % zones)
        } else {
            let zone = draws::weighted(rng, &self.zones);
            // Dispatchers zone, zone + zones, … are in the zone; without one, any will do.
            let there = (self.dispatchers + zones - 1).saturating_sub(zone) / zones;
            let dispatcher = match there {
                0 => rng.below(self.dispatchers),
                _ => zone + zones * rng.below(there),
            };
            (dispatcher, zone)
        };
        let work_s = self.means_s[class as usize] * multiple(self.scenario.work.law, rng);
        Arrived {
            at,
            dispatcher,
            class,
            zone,
            tenant,
            work_s,
            measured,
        }
    }
}

/// A draw with mean 1.
fn multiple(law: Law, rng: &mut Rng) -> f64 {
    match law {
        Law::Exponential => draws::exponential(rng),
        Law::Normal => loop {
            let value = 1.0 + draws::normal(rng);
            if value > 0.0 {
                return value / TRUNCATED_NORMAL_MEAN;
            }
        },
        Law::Pareto => {
            let minimum = (PARETO_SHAPE - 1.0) / PARETO_SHAPE;
            minimum * (1.0 - rng.unit()).powf(-1.0 / PARETO_SHAPE)
        }
        Law::Constant => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(law: Law, draws: u32) -> f64 {
        let mut rng = Rng::seeded(11);
        (0..draws).map(|_| multiple(law, &mut rng)).sum::<f64>() / f64::from(draws)
    }

    #[test]
    fn every_law_keeps_the_mean() {
        for (law, slack) in [
            (Law::Exponential, 0.01),
            (Law::Normal, 0.01),
            // Infinite variance: the mean of a million draws is still some percent off.
            (Law::Pareto, 0.06),
            (Law::Constant, 1e-9),
        ] {
            let mean = mean(law, 1_000_000);
            assert!((mean - 1.0).abs() < slack, "{law:?}: {mean}");
        }
    }

    #[test]
    fn rates_follow_steps_days_and_zones() {
        let text = "
            about = 'x'
            load = 0.5
            [arrivals]
            zone_shares = [0.7, 0.2, 0.1]
            step = [{ from_s = 10, until_s = 20, factor = 3 }]
            diurnal = { period_s = 20, amplitude = 0.5 }
            [network]
            zones = 3
        ";
        let scenario = &crate::scenario::decode("x", text).unwrap()[0];
        let size = "10x3".parse().unwrap();
        let mut arrivals = Arrivals::new(scenario, size, 3, 0);
        let (mut now, mut before, mut during) = (0, 0.0, 0.0);
        let mut zones = [0_u32; 3];
        loop {
            now = arrivals.next_at(now);
            if now > 20_000_000_000 {
                break;
            }
            let request = arrivals.draw(now, true);
            assert_eq!(request.dispatcher, request.zone);
            zones[request.zone as usize] += 1;
            *(if now < 10_000_000_000 {
                &mut before
            } else {
                &mut during
            }) += 1.0;
        }
        // 1000 a second, times the half sine's mean: 1 ± 0.5 · 2/π.
        let swing = 0.5 * std::f64::consts::FRAC_2_PI;
        assert!((before / 1e4 - (1.0 + swing)).abs() < 0.04, "{before}");
        assert!(
            (during / 1e4 - 3.0 * (1.0 - swing)).abs() < 0.06,
            "{during}"
        );
        let share = f64::from(zones[0]) / (before + during);
        assert!((share - 0.7).abs() < 0.01, "{share}");
    }
}
