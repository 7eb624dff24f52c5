//! What can be set about a balancer.

use std::time::Duration;

/// Everything that can be set about a balancer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// The algorithm.
    pub policy: Policy,
    /// Passive ejection; `None` switches it off.
    pub outlier_detection: Option<OutlierDetection>,
}

impl Settings {
    /// `policy`, with or without passive ejection.
    pub const fn new(policy: Policy, outlier_detection: Option<OutlierDetection>) -> Self {
        Self {
            policy,
            outlier_detection,
        }
    }
}

impl Default for Settings {
    /// Least request with two choices and no ejection: Istio's default, until the learned algorithm
    /// takes its place as what "nothing said" means.
    fn default() -> Self {
        Self::new(Policy::LeastRequest { choices: 2 }, None)
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
        }
    }
}
