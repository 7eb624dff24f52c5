//! What dispatchers tell each other, as an engine or gossip carries it.
//!
//! Each tells and hears at a time of its own within the interval: in step, all would act on the same news
//! at the same moment.

use alba::{EndpointId, Observation};

use super::agenda::Event;
use super::{World, seconds};
use crate::draws;

/// What each dispatcher told last.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    told: Vec<Vec<Observation>>,
    others: Vec<Observation>,
}

impl World<'_> {
    pub(super) fn plan_exchange(&mut self) {
        self.exchange.told = vec![Vec::new(); self.dispatchers.len()];
        if self.scenario.exchange.on && self.dispatchers.len() > 1 {
            for dispatcher in 0..self.dispatchers.len() as u32 {
                let interval_s = self.scenario.exchange.interval_s;
                let phase = seconds(draws::uniform(&mut self.jitter, 0.0, interval_s));
                self.agenda.add(phase, Event::Tell { dispatcher });
            }
        }
        if self.reports_by_themselves() {
            let first = seconds(self.scenario.reports.interval_s);
            self.agenda.add(first, Event::SendReports);
        }
    }

    pub(super) fn tell(&mut self, dispatcher: u32) {
        let exchange = &self.scenario.exchange;
        let next = self.now + seconds(exchange.interval_s);
        self.agenda.add(next, Event::Tell { dispatcher });
        let heard = self.now + seconds(exchange.delay_ms / 1e3);
        self.agenda.add(heard, Event::Hear { dispatcher });
        let time = self.time();
        let told = &mut self.exchange.told[dispatcher as usize];
        told.clear();
        self.dispatchers[dispatcher as usize]
            .policy
            .observations(time, told);
    }

    /// Puts together what all others told last.
    pub(super) fn hear(&mut self, dispatcher: u32) {
        let exchange = &mut self.exchange;
        if exchange.told.iter().all(Vec::is_empty) {
            return;
        }
        exchange.others.clear();
        let servers = 0..self.servers.len() as u64;
        exchange
            .others
            .extend(servers.map(|id| Observation::none(EndpointId(id))));
        for (teller, told) in (0..).zip(&exchange.told) {
            if teller == dispatcher {
                continue;
            }
            for observation in told {
                if let Some(sum) = exchange.others.get_mut(observation.id.0 as usize) {
                    sum.add(observation);
                }
            }
        }
        let time = self.time();
        let others = std::mem::take(&mut self.exchange.others);
        self.dispatchers[dispatcher as usize]
            .policy
            .learn(time, &others);
        self.exchange.others = others;
    }
}
