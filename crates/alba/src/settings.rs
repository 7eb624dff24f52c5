//! What can be set about a balancer.

mod locality;

use std::time::Duration;

use crate::Locality;

pub use locality::{DistributeRule, FailoverRule, LocalityPolicy};

/// Everything that can be set about a balancer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// The algorithm.
    pub policy: Policy,
    /// Passive ejection; `None` switches it off.
    pub outlier_detection: Option<OutlierDetection>,
    /// How endpoints that come later are eased in; `None` gives them their full weight at once.
    pub slow_start: Option<SlowStart>,
    /// Picks from a part of a very large list; `None` uses all of it.
    pub subset: Option<Subset>,
    /// Where the dispatcher runs; empty if that is not known.
    pub origin: Locality,
    /// What it matters where endpoints run.
    pub locality: LocalityPolicy,
}

impl Settings {
    /// `policy`, with or without passive ejection, and all else at its default.
    pub fn new(policy: Policy, outlier_detection: Option<OutlierDetection>) -> Self {
        Self {
            policy,
            outlier_detection,
            slow_start: None,
            subset: None,
            origin: Locality::default(),
            locality: LocalityPolicy::default(),
        }
    }
}

impl Settings {
    /// Slow start, where the policy goes by it.
    pub(crate) fn eases(&self) -> Option<&SlowStart> {
        match self.policy {
            Policy::RingHash { .. } | Policy::Maglev { .. } => None,
            _ => self.slow_start.as_ref(),
        }
    }
}

impl Default for Settings {
    /// The learned policy and no ejection.
    fn default() -> Self {
        Self::new(Policy::Alba(Alba::default()), None)
    }
}

/// The algorithm that picks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Policy {
    /// Smooth weighted round robin.
    RoundRobin,
    /// Weighted random.
    Random,
    /// Power of `choices` choices on weighted in-flight counts (Envoy's `LEAST_REQUEST`).
    LeastRequest {
        /// Draws per pick, at least 2 (less is taken as 2). With as many draws as endpoints, all of them
        /// are compared.
        choices: u32,
    },
    /// Two choices on peak-sensitive EWMA of latency times in-flight (Linkerd).
    PeakEwma {
        /// Time constant of the decay; Linkerd's is 10 s.
        decay: Duration,
        /// Assumed for an endpoint that has answered nothing yet; Linkerd's is 30 ms.
        default_latency: Duration,
    },
    /// The learned policy: the server that will answer soonest.
    Alba(Alba),
    /// Consistent hashing on a ring (Ketama), as Envoy's `RING_HASH`. Picks need
    /// [`PickRequest::hash`](crate::PickRequest::hash); without one they are random.
    RingHash {
        /// Places on the ring, at least: 1 to 8,388,608 (Envoy's largest; more is taken as that). Istio's
        /// `minimumRingSize` is 1024. More places make shares more even and picks slower.
        minimum_ring_size: u32,
        /// Bounded load.
        bound: LoadBound,
    },
    /// Consistent hashing by look-up table (Eisenbud and others 2016), as Envoy's `MAGLEV`. Picks need
    /// [`PickRequest::hash`](crate::PickRequest::hash); without one they are random.
    Maglev {
        /// Entries of the table, a prime up to 5,000,011 (Envoy's largest; others are taken as the next
        /// prime). Istio's `tableSize` is 65,537, good for some 650 endpoints.
        table_size: u32,
        /// Bounded load.
        bound: LoadBound,
    },
}

/// How far an endpoint's load may exceed the mean before hashing goes on to the next (Mirrokni and others
/// 2018, "Consistent hashing with bounded loads"; Envoy's `hash_balance_factor`).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LoadBound(
    /// Times the mean in-flight count, at least 1 (less is taken as 1); `None` sets no bound (as in Envoy
    /// and Istio).
    pub Option<f64>,
);

/// How an endpoint that comes to a running pool is eased in (Istio `warmup`, Envoy slow start): its weight
/// is multiplied by `max(minimum_percent / 100, (age / duration) ^ (1 / aggression))`, where age counts from
/// joining, or from when active checks called the endpoint well again. Consistent hashing takes no notice,
/// as in Envoy: hashes would move all the time.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowStart {
    /// From coming in to full weight.
    pub duration: Duration,
    /// 1 is linear; above it traffic comes faster at first. At least 1 (less is taken as 1).
    pub aggression: f64,
    /// Share of its weight that an endpoint has at once; 0 to 100.
    pub minimum_percent: f64,
}

/// Which part of a very large list a dispatcher uses, so that connections and probes stay few while the
/// load stays even: rendezvous hashing (Thaler and Ravishankar 1998).
///
/// Half of the part (rounded up) comes from the dispatcher's own zone ([`Settings::origin`]) as far as that
/// has so many, so that near endpoints are there to be preferred; the rest from all that are left, so that a
/// zone in trouble leaves every dispatcher others to turn to. Only available endpoints are chosen: one that
/// fails is replaced by the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Subset {
    /// Endpoints in use, at least 1 (0 is taken as 1); a list that is not longer is used whole. Of each priority
    /// level or weighted locality ([`LocalityPolicy`]) so many are.
    pub size: u32,
    /// The dispatcher's identity: others should choose other parts.
    pub key: u64,
}

/// Parameters of [`Policy::Alba`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Alba {
    /// Uniform draws per pick besides the endpoints with the newest reports; 1 to 16.
    pub draws: u32,
    /// Endpoints whose report is younger are preferred to others.
    pub fresh: Duration,
    /// Probes that a request pays for; 0 to 1, 0 sends none.
    pub probes_per_request: f64,
    /// Most probes in a second.
    pub probes_per_s: f64,
    /// What a request costs those behind it, as a multiple of what the pool's line says: the toll of Pigou.
    /// Above 1 because delay grows faster than the line, and because it keeps many dispatchers from crowding
    /// onto the same fast endpoints: in simulation 4 to 8 are best and much alike.
    pub toll: f64,
    /// Added to an endpoint in another zone of the origin's region.
    pub zone_price: Duration,
    /// Added to an endpoint in another region.
    pub region_price: Duration,
    /// Prices between places that replace the two above.
    pub prices: Vec<Price>,
    /// What is switched off.
    pub without: Parts,
}

impl Default for Alba {
    fn default() -> Self {
        Self {
            draws: 3,
            fresh: Duration::from_secs(1),
            probes_per_request: 0.25,
            probes_per_s: 50.0,
            toll: 5.0,
            zone_price: Duration::from_millis(1),
            region_price: Duration::from_millis(20),
            prices: Vec::new(),
            without: Parts::default(),
        }
    }
}

/// What a crossing costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// Where the user or the dispatcher is; fields that are empty or `*` match anything.
    pub from: Locality,
    /// Where the endpoint is; fields that are empty or `*` match anything.
    pub to: Locality,
    /// Added to the endpoint's score.
    pub price: Duration,
}

/// The parts of the learned policy, each true if it is left out: for measuring what each is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Parts {
    /// Candidates with the newest reports.
    pub ring: bool,
    /// Learned trust in reports by their age: without it a fresh report is believed whole.
    pub trust: bool,
    /// One learned speed per endpoint: without it all are taken as equally fast.
    pub speed: bool,
    /// How long an endpoint has not answered while requests wait there.
    pub silence: bool,
    /// Division by the success rate.
    pub success: bool,
    /// What a request costs those behind it.
    pub toll: bool,
    /// Prices of crossings.
    pub locality: bool,
    /// Asking endpoints whose reports are old.
    pub probes: bool,
    /// Load reports of all kinds.
    pub reports: bool,
    /// What other dispatchers saw.
    pub shared: bool,
}

/// When an endpoint is put aside for what it answered (Istio `outlierDetection`, Envoy outlier detection).
#[derive(Debug, Clone, PartialEq)]
pub struct OutlierDetection {
    /// Consecutive 5xx (and connect failures, timeouts, resets) that eject; 0 switches it off.
    pub consecutive_5xx: u32,
    /// Consecutive 502, 503, 504, connect failures, timeouts and resets that eject; 0 switches it off.
    pub consecutive_gateway_errors: u32,
    /// Consecutive failures that the dispatcher saw itself (connect failure, timeout, reset); used only
    /// with `split_external_local_origin_errors`; 0 switches it off.
    pub consecutive_local_origin_failures: u32,
    /// Count local-origin failures apart from answers.
    pub split_external_local_origin_errors: bool,
    /// Time between sweeps that bring endpoints back; less than 1 ms is taken as 1 ms.
    pub interval: Duration,
    /// An endpoint ejected for the n-th time in a row stays away n times this long, up to 300 s (or this
    /// long, if that is more). Every sweep that finds it in service takes one from n.
    pub base_ejection_time: Duration,
    /// At most this share of endpoints (but always at least one) is away at a time; 0 to 100.
    pub max_ejection_percent: u32,
    /// With a smaller share of endpoints available, ejection and health are ignored (panic); 0 to 100,
    /// 0 switches panic off.
    pub min_health_percent: u32,
    /// Ejects endpoints whose success rate is far below the others'; `None` switches it off.
    pub success_rate: Option<SuccessRate>,
    /// Ejects endpoints that fail too large a share of their requests; `None` switches it off.
    pub failure_percentage: Option<FailurePercentage>,
}

/// Ejection for a success rate that is far below the others' (gRPC A50 `successRateEjection`, Envoy's
/// `success_rate_*`). Counted from sweep to sweep; only endpoints in service with `request_volume` are
/// compared. Failures that the dispatcher saw itself count, as in gRPC, also with
/// `split_external_local_origin_errors`.
#[derive(Debug, Clone, PartialEq)]
pub struct SuccessRate {
    /// An endpoint is ejected if its rate is more than this many standard deviations below the mean; gRPC
    /// and Envoy write it times 1000. At least 0.
    pub stdev_factor: f64,
    /// The chance that an endpoint found so is ejected; 0 to 100.
    pub enforcement_percent: u32,
    /// Endpoints with `request_volume` that there must be for a mean to say something.
    pub minimum_hosts: u32,
    /// Requests from sweep to sweep for an endpoint's rate to say something.
    pub request_volume: u32,
}

impl Default for SuccessRate {
    /// gRPC's and Envoy's values.
    fn default() -> Self {
        Self {
            stdev_factor: 1.9,
            enforcement_percent: 100,
            minimum_hosts: 5,
            request_volume: 100,
        }
    }
}

/// Ejection for failing too large a share (gRPC A50 `failurePercentageEjection`, Envoy's
/// `failure_percentage_*`). Counted as for [`SuccessRate`].
#[derive(Debug, Clone, PartialEq)]
pub struct FailurePercentage {
    /// An endpoint that fails at least this share of its requests is ejected; 0 to 100.
    pub threshold_percent: u32,
    /// The chance that an endpoint found so is ejected; 0 to 100.
    pub enforcement_percent: u32,
    /// Endpoints with `request_volume` that there must be: ejecting one of few costs more than it saves.
    pub minimum_hosts: u32,
    /// Requests from sweep to sweep for an endpoint's share to say something.
    pub request_volume: u32,
}

impl Default for FailurePercentage {
    /// gRPC's values; Envoy differs only in that it does not enforce them unless told to.
    fn default() -> Self {
        Self {
            threshold_percent: 85,
            enforcement_percent: 100,
            minimum_hosts: 5,
            request_volume: 50,
        }
    }
}

impl Default for OutlierDetection {
    /// What an empty `outlierDetection: {}` means in Istio: five 5xx in a row eject for 30 s, at most a
    /// tenth of the endpoints at a time, swept every 10 s, no panic.
    fn default() -> Self {
        Self {
            consecutive_5xx: 5,
            consecutive_gateway_errors: 0,
            consecutive_local_origin_failures: 5,
            split_external_local_origin_errors: false,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_percent: 10,
            min_health_percent: 0,
            success_rate: None,
            failure_percentage: None,
        }
    }
}
