//! What is done to requests on their way, beside routing them.

use std::time::Duration;

use super::{ClusterId, NoCluster};

/// A part of all requests, in parts of a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction(u32);

impl Fraction {
    /// All requests.
    pub const ALL: Self = Self(1_000_000);
    /// No request.
    pub const NONE: Self = Self(0);

    /// `percent` in 0 to 100, to four decimal places, as Envoy keeps it; what is above 100 is 100.
    pub fn from_percent(percent: f64) -> Self {
        Self((percent.clamp(0.0, 100.0) * 10_000.0).round() as u32)
    }

    /// `numerator` of `denominator`; at most all. With a denominator of 0 none.
    pub fn of(numerator: u32, denominator: u32) -> Self {
        let parts = u64::from(numerator) * 1_000_000;
        let parts = parts.checked_div(u64::from(denominator)).unwrap_or(0);
        Self(parts.min(1_000_000) as u32)
    }

    /// Whether a uniformly random number falls within the fraction.
    pub fn includes(self, draw: u64) -> bool {
        ((u128::from(draw) * 1_000_000) >> 64) < u128::from(self.0)
    }

    /// 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

/// Requests held up or failed on purpose (Istio `fault`).
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// How many requests wait for how long before anything else happens.
    pub delay: Option<(Fraction, Duration)>,
    /// How many requests are answered with what.
    pub abort: Option<(Fraction, Abort)>,
}

/// The answer that stands for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// A status of HTTP, 200 to 599.
    Http(u16),
    /// A status of gRPC, 0 to 16, on an answer with HTTP status 200.
    Grpc(u8),
}

impl Abort {
    /// Names of gRPC's statuses by number, as its specification lists them.
    pub const GRPC_STATUSES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    /// A status of gRPC by its name, or by its number as text.
    pub fn grpc(text: &str) -> Option<Self> {
        let by_name = Self::GRPC_STATUSES.iter().position(|name| *name == text);
        let number = by_name.or_else(|| text.parse().ok())?;
        let number = (number < Self::GRPC_STATUSES.len()).then_some(number)?;
        u8::try_from(number).ok().map(Self::Grpc)
    }
}

/// Where copies of requests go. What comes of them is thrown away.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// `Err` says what is missing; nothing is copied then.
    pub cluster: Result<ClusterId, NoCluster>,
    /// How many requests are copied.
    pub share: Fraction,
}

/// Who may read answers from another origin's page (the Fetch standard's CORS protocol).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cors {
    /// Any of these. What `*` within means is for [`crate::StringMatch`] to say.
    pub allow_origins: Vec<crate::route::StringMatch>,
    /// For `Access-Control-Allow-Methods`; `*` is any.
    pub allow_methods: Vec<String>,
    /// For `Access-Control-Allow-Headers`; `*` is any.
    pub allow_headers: Vec<String>,
    /// For `Access-Control-Expose-Headers`.
    pub expose_headers: Vec<String>,
    /// For `Access-Control-Max-Age`.
    pub max_age: Option<Duration>,
    /// `Access-Control-Allow-Credentials: true`.
    pub allow_credentials: bool,
    /// Whether a preflight of a foreign origin is forwarded (Istio's `FORWARD`, its default) instead of being
    /// answered without the headers.
    pub forwards_unmatched: bool,
}
