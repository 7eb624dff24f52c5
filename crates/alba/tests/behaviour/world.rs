//! A balancer, its generator and a clock that only tests move.

use std::time::Duration;

use alba::{
    Alba, Balancer, Completion, Endpoint, EndpointId, LoadBound, Outcome, OutlierDetection, Pick,
    PickRequest, Policy, Rng, Settings, Time,
};

/// Every policy with defaults as documents give them.
pub(crate) fn policies() -> [Policy; 7] {
    [
        Policy::RoundRobin,
        Policy::Random,
        Policy::LeastRequest { choices: 2 },
        Policy::PeakEwma {
            decay: Duration::from_secs(10),
            default_latency: Duration::from_millis(30),
        },
        Policy::RingHash {
            minimum_ring_size: 1024,
            bound: LoadBound::default(),
        },
        Policy::Maglev {
            table_size: 251,
            bound: LoadBound(Some(1.25)),
        },
        Policy::Alba(Alba::default()),
    ]
}

/// Endpoint `i` has id `i` and `weights[i]`.
pub(crate) fn endpoints(weights: &[u32]) -> Vec<Endpoint> {
    (0..)
        .zip(weights)
        .map(|(id, weight)| Endpoint::new(EndpointId(id)).with_weight(*weight))
        .collect()
}

pub(crate) struct World {
    pub(crate) balancer: Balancer,
    pub(crate) rng: Rng,
    pub(crate) now: Time,
}

impl World {
    pub(crate) fn new(policy: Policy, weights: &[u32], seed: u64) -> Self {
        Self::with(Settings::new(policy, None), weights, seed)
    }

    pub(crate) fn ejecting(outlier: OutlierDetection, endpoints: usize) -> Self {
        Self::with(
            Settings::new(Policy::RoundRobin, Some(outlier)),
            &vec![1; endpoints],
            1,
        )
    }

    pub(crate) fn with(settings: Settings, weights: &[u32], seed: u64) -> Self {
        Self::of(settings, &endpoints(weights), seed)
    }

    pub(crate) fn of(settings: Settings, endpoints: &[Endpoint], seed: u64) -> Self {
        let now = Time::from_nanos(1_000_000_000);
        Self {
            balancer: Balancer::new(settings, endpoints, now),
            rng: Rng::seeded(seed),
            now,
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    pub(crate) fn try_pick(&mut self, tried: &[u32]) -> Option<Pick> {
        self.try_pick_for(None, tried)
    }

    /// As [`World::try_pick`], for a request with this hash.
    pub(crate) fn try_pick_for(&mut self, hash: Option<u64>, tried: &[u32]) -> Option<Pick> {
        let tried: Vec<_> = tried.iter().map(|&i| EndpointId(u64::from(i))).collect();
        let request = PickRequest {
            tried: &tried,
            hash,
            ..PickRequest::default()
        };
        self.balancer.pick(self.now, &mut self.rng, &request)
    }

    pub(crate) fn pick(&mut self) -> Pick {
        self.try_pick(&[]).expect("an endpoint can be picked")
    }

    /// A pick of one endpoint: everything else counts as tried.
    pub(crate) fn pick_of(&mut self, index: u32) -> Pick {
        let others: Vec<u32> = (0..self.balancer.len() as u32)
            .filter(|&i| i != index)
            .collect();
        let pick = self.try_pick(&others).expect("an endpoint can be picked");
        assert_eq!(pick.index(), index, "the only untried endpoint is picked");
        pick
    }

    pub(crate) fn complete(&self, pick: Pick, outcome: Outcome) {
        self.balancer
            .complete(pick, Completion::new(outcome, self.now));
    }

    /// What active checks say at this moment.
    pub(crate) fn set_health(&self, index: u32, healthy: bool) {
        let id = EndpointId(u64::from(index));
        self.balancer.set_health(id, healthy, self.now);
    }

    /// Picks `index` and ends it so, `times` times, at once.
    pub(crate) fn answer(&mut self, index: u32, outcome: Outcome, times: u32) {
        for _ in 0..times {
            let pick = self.pick_of(index);
            self.complete(pick, outcome);
        }
    }

    /// Moves to the next sweep and makes it.
    pub(crate) fn sweep(&mut self) {
        self.now = self
            .balancer
            .poll_timeout()
            .expect("outlier detection is on");
        self.balancer.handle_timeout(self.now);
    }

    pub(crate) fn ejected(&self) -> Vec<u32> {
        self.balancer
            .endpoints(self.now)
            .filter(|endpoint| endpoint.ejected_until.is_some())
            .map(|endpoint| endpoint.index)
            .collect()
    }

    pub(crate) fn in_flight(&self) -> Vec<u32> {
        self.balancer
            .endpoints(self.now)
            .map(|endpoint| endpoint.in_flight)
            .collect()
    }

    /// How often each endpoint is picked in `n` picks that end at once.
    pub(crate) fn shares(&mut self, n: u32) -> Vec<u32> {
        let mut counts = vec![0; self.balancer.len()];
        for _ in 0..n {
            let pick = self.pick();
            counts[pick.index() as usize] += 1;
            self.complete(pick, Outcome::Cancelled);
        }
        counts
    }
}
