//! Which endpoint gets this request.
//!
//! A [`Balancer`] is an immutable list of endpoints plus shared, interior-mutable state per endpoint.
//! It does no I/O, reads no clock and draws no unseeded randomness: [`Time`] and [`Rng`] are arguments,
//! so the same code runs in the proxy, in the simulator and in `dalbi explain`.

mod time;

pub use time::Time;

/// The seeded generator that every random choice draws from (wyrand).
#[derive(Debug, Clone)]
pub struct Rng(fastrand::Rng);

/// The caller's name for an endpoint, stable for as long as it is the same server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u64);

/// Where an endpoint runs; empty strings mean "not said".
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// For example `eu-west-1`.
    pub region: String,
    /// For example `eu-west-1a`.
    pub zone: String,
    /// For example a rack.
    pub sub_zone: String,
}

/// One endpoint as configured or discovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Stable identity: state learned under it survives [`Balancer::apply`].
    pub id: EndpointId,
    /// `configured_weight`, at least 1.
    pub weight: u32,
    /// Where it runs.
    pub locality: Locality,
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
        /// Draws per pick, at least 2.
        choices: u32,
    },
    /// Two choices on peak-sensitive EWMA of latency times in-flight (Linkerd).
    PeakEwma {
        /// Time constant of the decay.
        decay: std::time::Duration,
        /// Assumed for an endpoint that has answered nothing yet.
        default_latency: std::time::Duration,
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
    /// Time between sweeps that bring endpoints back.
    pub interval: std::time::Duration,
    /// An endpoint ejected for the n-th time in a row stays away n times this long.
    pub base_ejection_time: std::time::Duration,
    /// At most this share of endpoints (but always at least one) is away at a time; 0 to 100.
    pub max_ejection_percent: u32,
    /// With a smaller share of endpoints healthy, ejection and health are ignored (panic); 0 to 100.
    pub min_health_percent: u32,
}

/// Everything that can be set about a balancer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// The algorithm.
    pub policy: Policy,
    /// Passive ejection; `None` switches it off.
    pub outlier_detection: Option<OutlierDetection>,
}

/// What the balancer may know of the request it picks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct PickRequest<'a> {
    /// Positions already tried by earlier attempts: avoided unless nothing else is left.
    pub tried: &'a [u32],
    /// The consistent-hash key, where the policy wants one.
    pub hash: Option<u64>,
}

/// How a picked attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// A complete answer with a status below 500 (for gRPC: no server error).
    Success,
    /// A 5xx other than 502, 503, 504.
    ServerError,
    /// 502, 503 or 504.
    GatewayError,
    /// No connection.
    ConnectFailure,
    /// No answer in time.
    Timeout,
    /// The stream or connection broke.
    Reset,
    /// The client went away or the request was dropped for reasons not the endpoint's.
    Cancelled,
}

/// What [`Balancer::complete`] is told.
#[derive(Debug, Clone, Copy)]
pub struct Completion {
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    pub at: Time,
    /// When the first byte of the answer came, if one did.
    pub first_byte: Option<Time>,
}
