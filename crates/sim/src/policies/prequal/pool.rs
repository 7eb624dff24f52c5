//! The probe pool, the rule that chooses from it, and the counts that make a probe hot.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

use alba::Time;

use crate::policy::Server;

/// What a server said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub(super) server: Server,
    /// As it said, and what was sent there since.
    pub(super) in_flight: u32,
    pub(super) latency: Duration,
    pub(super) received: Time,
    /// Queries it may still direct.
    pub(super) uses_left: u32,
}

impl Probe {
    /// Orders probes by the hot-cold lexicographic rule, the best first. Equal latencies, which a measured
    /// clock never gives, go by requests in flight.
    fn rank(&self, hot_above: u32) -> (bool, u128, u32) {
        if self.in_flight > hot_above {
            (true, u128::from(self.in_flight), 0)
        } else {
            (false, self.latency.as_nanos(), self.in_flight)
        }
    }
}

/// Probes in order of receipt, at most one per server.
#[derive(Debug, Default)]
pub(super) struct Pool(Vec<Probe>);

impl Pool {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes a probe in place of an older one of its server, or of the oldest if there are `most`.
    pub(super) fn insert(&mut self, probe: Probe, most: usize) {
        self.0.retain(|other| other.server != probe.server);
        if self.0.len() >= most {
            self.remove_oldest();
        }
        self.0.push(probe);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Probe) -> bool) {
        self.0.retain(keep);
    }

    /// The server of the best probe, of those that `may` be used.
    pub(super) fn choose(&self, hot_above: u32, may: impl Fn(Server) -> bool) -> Option<Server> {
        let usable = self.0.iter().filter(|probe| may(probe.server));
        let best = usable.min_by_key(|probe| probe.rank(hot_above));
        best.map(|probe| probe.server)
    }

    /// A query went to `server`; `by_probe` if its probe was the reason, which uses that up.
    pub(super) fn used(&mut self, server: Server, by_probe: bool) {
        for probe in &mut self.0 {
            if probe.server == server {
                probe.in_flight += 1;
                probe.uses_left -= u32::from(by_probe);
            }
        }
        self.0.retain(|probe| probe.uses_left > 0);
    }

    pub(super) fn remove_oldest(&mut self) {
        if !self.0.is_empty() {
            self.0.remove(0);
        }
    }

    /// Removes the hot probe with the most in flight or, if none is hot, the one of the highest latency.
    pub(super) fn remove_worst(&mut self, hot_above: u32) {
        let ranked = self.0.iter().enumerate();
        // Of equals the older goes.
        let worst = ranked.max_by_key(|(place, probe)| (probe.rank(hot_above), Reverse(*place)));
        if let Some((place, _)) = worst {
            self.0.remove(place);
        }
    }

    #[cfg(test)]
    pub(super) fn servers(&self) -> Vec<Server> {
        self.0.iter().map(|probe| probe.server).collect()
    }

    #[cfg(test)]
    pub(super) fn probe(&self, server: Server) -> Option<&Probe> {
        self.0.iter().find(|probe| probe.server == server)
    }
}

/// Requests in flight of the most recent probes, whatever became of those.
#[derive(Debug, Default)]
pub(super) struct RecentCounts {
    by_age: VecDeque<u32>,
    sorted: Vec<u32>,
}

/// Probes remembered: enough for a quantile, and at 3 probes per query no more than some 40 queries back.
const REMEMBERED: usize = 128;

impl RecentCounts {
    pub(super) fn push(&mut self, count: u32) {
        if self.by_age.len() == REMEMBERED
            && let Some(old) = self.by_age.pop_front()
            && let Ok(place) = self.sorted.binary_search(&old)
        {
            self.sorted.remove(place);
        }
        self.by_age.push_back(count);
        let place = self.sorted.partition_point(|other| *other < count);
        self.sorted.insert(place, count);
    }

    /// The least count that at least this share of probes did not exceed; without end for 1 and above.
    pub(super) fn quantile(&self, share: f64) -> u32 {
        if share >= 1.0 {
            return u32::MAX;
        }
        let rank = (share * self.sorted.len() as f64).ceil() as usize;
        let place = rank.saturating_sub(1);
        self.sorted.get(place).copied().unwrap_or(u32::MAX)
    }
}
