//! How a picked attempt ended.

use crate::{LoadReport, Time};

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

impl Outcome {
    /// Whether it speaks against the endpoint.
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Success | Self::Cancelled)
    }

    /// Whether the dispatcher saw the failure itself, without an answer from the endpoint.
    pub const fn is_local_origin(self) -> bool {
        matches!(self, Self::ConnectFailure | Self::Timeout | Self::Reset)
    }
}

/// What [`Balancer::complete`](crate::Balancer::complete) is told.
///
/// Build it with [`Completion::new`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Completion {
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    pub at: Time,
    /// When the first byte of the answer came, if one did.
    pub first_byte: Option<Time>,
    /// What the endpoint said of its load.
    pub report: Option<LoadReport>,
}

impl Completion {
    /// An end at `at` with nothing known of an answer.
    pub const fn new(outcome: Outcome, at: Time) -> Self {
        Self {
            outcome,
            at,
            first_byte: None,
            report: None,
        }
    }

    /// The same, with when the answer began; latency estimates use it instead of the end.
    #[must_use]
    pub const fn with_first_byte(mut self, first_byte: Time) -> Self {
        self.first_byte = Some(first_byte);
        self
    }

    /// The same, with what the endpoint said of its load.
    #[must_use]
    pub const fn with_report(mut self, report: LoadReport) -> Self {
        self.report = Some(report);
        self
    }
}
