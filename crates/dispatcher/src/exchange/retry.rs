//! When another try is worth it, in the terms of Envoy's `retry_on`.

use std::time::Duration;

use alba::{Outcome, Rng};
use mesh::RetryPolicy;

use super::flags::Flags;
use super::prepare::Facts;
use super::reply::Reply;
use crate::telemetry::record::Record;

/// How a try failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// For the operator: it may name addresses.
    pub(crate) text: String,
}

impl Failure {
    /// What the client is told, which names nothing inside; the rest goes to the logs.
    pub(crate) fn into_reply(self, status: u16, flags: Flags, record: &mut Record) -> Reply {
        tracing::debug!(failure = self.text, "no endpoint answered");
        if let Some(line) = &mut record.line {
            line.failure = self.text;
        }
        let text = match self.kind {
            FailureKind::Connect => "upstream connect error\n",
            FailureKind::Refused | FailureKind::Leaving | FailureKind::Reset { .. } => {
                "upstream disconnect or reset before headers\n"
            }
            FailureKind::Malformed => "upstream protocol error\n",
            FailureKind::TryTimeout => "upstream request timeout\n",
            FailureKind::Overflow => "too many requests wait for a connection to this service\n",
        };
        Reply::text(status, flags, text)
    }
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// No connection.
    Connect,
    /// The endpoint said that it has not begun (RFC 9113 section 8.7).
    Refused,
    /// The endpoint was ending the connection in good order and did not take the request any more
    /// (GOAWAY, RFC 9113 section 6.8).
    Leaving,
    /// The connection or stream broke before a response head. `sent`: none of the response had come on a
    /// connection that had been used before, as when an idle connection is closed just then.
    Reset {
        /// See above.
        stale: bool,
    },
    /// The answer was not HTTP.
    Malformed,
    /// The try's own time was up.
    TryTimeout,
    /// A circuit breaker is open.
    Overflow,
}

impl FailureKind {
    /// What the client is told if nothing better comes.
    pub(crate) fn reply(self) -> (u16, Flags) {
        match self {
            Self::Connect => (503, Flags::UPSTREAM_CONNECT_FAILURE),
            Self::Refused | Self::Leaving => (503, Flags::UPSTREAM_RESET),
            Self::Reset { .. } => (503, Flags::UPSTREAM_TERMINATION),
            Self::Malformed => (502, Flags::UPSTREAM_PROTOCOL_ERROR),
            Self::TryTimeout => (504, Flags::UPSTREAM_TIMEOUT),
            Self::Overflow => (503, Flags::UPSTREAM_OVERFLOW),
        }
    }

    /// What the balancer is told; `None` when the endpoint was not asked.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Connect => Outcome::ConnectFailure,
            Self::Refused | Self::Reset { .. } | Self::Malformed => Outcome::Reset,
            Self::TryTimeout => Outcome::Timeout,
            // An endpoint that ends a connection in good order is well.
            Self::Overflow | Self::Leaving => Outcome::Cancelled,
        }
    }

    /// Whether the endpoint did nothing for the request and is not to blame either: its connection was just
    /// ending. Another try then counts for nothing.
    pub(crate) fn is_free(self, facts: Facts) -> bool {
        match self {
            Self::Leaving => true,
            // Most likely the connection was closed before the request came; nobody knows for certain.
            Self::Reset { stale } => stale && facts.is_idempotent,
            _ => false,
        }
    }

    /// Whether the policy wants another try, given that the request can still be sent whole.
    pub(crate) fn is_retriable(self, policy: &RetryPolicy, facts: Facts) -> bool {
        let on = policy.on;
        match self {
            Self::Connect => on.connect_failure || on.reset || on.gateway_error || on.any_5xx,
            Self::Refused | Self::Leaving => on.refused_stream || on.reset || on.any_5xx,
            // Nothing of the answer came. For an idempotent request another try can do no harm, and a
            // policy that retries connect failures wants to survive an endpoint's restart.
            Self::Reset { stale } => {
                on.reset
                    || on.any_5xx
                    || (stale && on.reset_before_request)
                    || (facts.is_idempotent && (stale || on.connect_failure))
            }
            Self::Malformed => on.any_5xx || on.reset,
            Self::TryTimeout => on.gateway_error || on.any_5xx || on.reset,
            Self::Overflow => false,
        }
    }
}

/// Whether the policy wants another try after this answer.
pub(crate) fn is_retriable_answer(
    policy: &RetryPolicy,
    facts: Facts,
    status: u16,
    grpc_status: Option<u8>,
) -> bool {
    let on = policy.on;
    let by_status = match status {
        502..=504 => on.gateway_error || on.any_5xx,
        500.. => on.any_5xx,
        409 => on.retriable_4xx,
        _ => false,
    };
    let by_grpc = facts.is_grpc
        && match grpc_status {
            Some(1) => on.grpc_cancelled,
            Some(4) => on.grpc_deadline_exceeded,
            Some(8) => on.grpc_resource_exhausted,
            Some(13) => on.grpc_internal,
            Some(14) => on.grpc_unavailable,
            _ => false,
        };
    by_status || by_grpc || policy.statuses.contains(&status)
}

/// Envoy's back-off before the `retry`-th further try (from 1): fully jittered, exponential, at most ten
/// times the base.
pub(crate) fn backoff(policy: &RetryPolicy, retry: u32, rng: &mut Rng) -> Duration {
    let ceiling = policy.backoff * 2u32.saturating_pow(retry - 1).min(10);
    ceiling.mul_f64(rng.unit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh::RetryOn;

    fn policy(on: RetryOn) -> RetryPolicy {
        RetryPolicy {
            attempts: 2,
            per_try_timeout: None,
            on,
            statuses: vec![429],
            backoff: Duration::from_millis(25),
            prefer_other_localities: false,
            prefer_other_endpoints: true,
        }
    }

    fn facts(is_idempotent: bool, is_grpc: bool) -> Facts {
        Facts {
            is_head: false,
            is_idempotent,
            is_grpc,
            upgrades: false,
            owes_continue: false,
        }
    }

    #[test]
    fn a_reset_is_retried_where_it_can_do_no_harm() {
        let connect = policy(RetryOn {
            connect_failure: true,
            ..RetryOn::default()
        });
        let reset = FailureKind::Reset { stale: false };
        assert!(reset.is_retriable(&connect, facts(true, false)));
        assert!(!reset.is_retriable(&connect, facts(false, false)));
        let none = policy(RetryOn::default());
        assert!(!reset.is_retriable(&none, facts(true, false)));
        assert!(FailureKind::Reset { stale: true }.is_retriable(&none, facts(true, false)));
    }

    #[test]
    fn answers_are_retried_as_the_policy_says() {
        let gateway = policy(RetryOn {
            gateway_error: true,
            grpc_unavailable: true,
            ..RetryOn::default()
        });
        assert!(is_retriable_answer(&gateway, facts(true, false), 503, None));
        assert!(!is_retriable_answer(
            &gateway,
            facts(true, false),
            500,
            None
        ));
        assert!(is_retriable_answer(&gateway, facts(true, false), 429, None));
        assert!(is_retriable_answer(
            &gateway,
            facts(false, true),
            200,
            Some(14)
        ));
        assert!(!is_retriable_answer(
            &gateway,
            facts(false, false),
            200,
            Some(14)
        ));
    }

    #[test]
    fn backoff_stays_within_its_ceiling() {
        let policy = policy(RetryOn::default());
        let mut rng = Rng::seeded(3);
        for retry in 1..40 {
            assert!(backoff(&policy, retry, &mut rng) <= Duration::from_millis(250));
        }
        assert!(backoff(&policy, 1, &mut rng) <= Duration::from_millis(25));
    }
}
