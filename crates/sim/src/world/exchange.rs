//! What dispatchers tell each other, as an engine or gossip carries it: each hears the sum of all others.

use std::collections::VecDeque;

use alba::{EndpointId, Observation};

use super::agenda::Event;
use super::{World, seconds};

/// Rounds that were told and not yet heard: what each dispatcher told.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    told: VecDeque<Vec<Vec<Observation>>>,
}

impl World<'_> {
    pub(super) fn plan_exchange(&mut self) {
        if self.scenario.exchange.on && self.dispatchers.len() > 1 {
            let first = seconds(self.scenario.exchange.interval_s);
            self.agenda.add(first, Event::Tell);
        }
        if self.reports_by_themselves() {
            let first = seconds(self.scenario.reports.interval_s);
            self.agenda.add(first, Event::SendReports);
        }
    }

    pub(super) fn tell(&mut self) {
        let exchange = &self.scenario.exchange;
        self.agenda
            .add(self.now + seconds(exchange.interval_s), Event::Tell);
        self.agenda
            .add(self.now + seconds(exchange.delay_ms / 1e3), Event::Hear);
        let time = self.time();
        let told = self
            .dispatchers
            .iter_mut()
            .map(|dispatcher| {
                let mut own = Vec::new();
                dispatcher.policy.observations(time, &mut own);
                own
            })
            .collect();
        self.exchange.told.push_back(told);
    }

    pub(super) fn hear(&mut self) {
        let Some(told) = self.exchange.told.pop_front() else {
            return;
        };
        if told.iter().all(Vec::is_empty) {
            return;
        }
        let mut totals: Vec<Total> = (0..self.servers.len() as u64)
            .map(|id| Total::new(EndpointId(id)))
            .collect();
        for observation in told.iter().flatten() {
            if let Some(total) = totals.get_mut(observation.id.0 as usize) {
                total.add(observation);
            }
        }
        let time = self.time();
        let mut others = Vec::with_capacity(totals.len());
        for (dispatcher, own) in self.dispatchers.iter_mut().zip(&told) {
            others.clear();
            others.extend(totals.iter().map(|total| total.sum));
            for observation in own {
                let server = observation.id.0 as usize;
                if let Some(total) = totals.get(server) {
                    others[server] = total.without(observation);
                }
            }
            dispatcher.policy.learn(time, &others);
        }
    }
}

/// All that was told of one server, such that one dispatcher's part can be taken out again.
#[derive(Debug)]
struct Total {
    sum: Observation,
    /// The two least silences.
    silences_s: [f64; 2],
}

impl Total {
    fn new(id: EndpointId) -> Self {
        Self {
            sum: Observation::none(id),
            silences_s: [f64::INFINITY; 2],
        }
    }

    fn add(&mut self, observation: &Observation) {
        self.sum.add(observation);
        if observation.silence_s < self.silences_s[0] {
            self.silences_s = [observation.silence_s, self.silences_s[0]];
        } else {
            self.silences_s[1] = self.silences_s[1].min(observation.silence_s);
        }
    }

    /// What is left without what one dispatcher told. Rounding leaves nothing below zero.
    fn without(&self, own: &Observation) -> Observation {
        let mut rest = self.sum;
        rest.in_flight -= own.in_flight;
        rest.ejections -= own.ejections;
        rest.successes = (rest.successes - own.successes).max(0.0);
        rest.failures = (rest.failures - own.failures).max(0.0);
        rest.silence_s = self.silences_s[usize::from(own.silence_s == self.silences_s[0])];
        rest
    }
}
