//! The built-in test server: it echoes requests and can be made slow, flaky, small or hung.
//!
//! One [`Upstream`] is one simulated server: a service time drawn from a distribution, a number of
//! requests it works on at once with a FIFO queue before it, and shares of requests that fail or hang.
//! It may listen on several addresses. Everything random comes from its seed.

mod answer;
mod body;
mod distribution;
mod gate;
mod grpc;
mod overrides;
mod server;
mod tls;
mod websocket;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

pub(crate) use distribution::Distribution;
use gate::Gate;
pub(crate) use server::{Listener, serve};
pub(crate) use tls::acceptor as tls_acceptor;

/// How an upstream behaves towards every request.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    /// Shown in the answer and in its `x-upstream-name` header.
    pub(crate) name: String,
    /// Service time of one request, while it holds one of the `concurrency` slots.
    pub(crate) latency: Distribution,
    /// Requests worked on at once; `None` is no limit.
    pub(crate) concurrency: Option<usize>,
    /// Requests that may wait for a slot before further ones get 503; `None` is no limit.
    pub(crate) queue: Option<usize>,
    /// Share of requests, 0 to 1, that are answered with `error_status` at once.
    pub(crate) error_rate: f64,
    /// Status of those.
    pub(crate) error_status: http::StatusCode,
    /// Share of requests, 0 to 1, that are never answered and keep their slot.
    pub(crate) hang_rate: f64,
    /// Answer with this many bytes of filler instead of the echo.
    pub(crate) body_bytes: Option<u64>,
    /// Seed of every random draw.
    pub(crate) seed: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            name: "upstream".to_owned(),
            latency: Distribution::default(),
            concurrency: None,
            queue: None,
            error_rate: 0.0,
            error_status: http::StatusCode::SERVICE_UNAVAILABLE,
            hang_rate: 0.0,
            body_bytes: None,
            seed: 1,
        }
    }
}

/// One simulated server, shared by its listeners.
#[derive(Debug)]
pub(crate) struct Upstream {
    behaviour: Behaviour,
    /// The name as a header value, made once.
    name_header: http::HeaderValue,
    gate: Gate,
    rng: Mutex<fastrand::Rng>,
    healthy: AtomicBool,
    in_flight: AtomicU64,
    failed: AtomicU64,
    /// Filler that answers are cut from.
    filler: Bytes,
}

/// What chance has in store for one request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Answer(std::time::Duration),
    Fail,
    Hang,
}

impl Upstream {
    /// A server that has not been asked anything yet.
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        let name_header = http::HeaderValue::from_str(&behaviour.name)
            .unwrap_or_else(|_| http::HeaderValue::from_static("unprintable"));
        Self {
            name_header,
            gate: Gate::new(behaviour.concurrency, behaviour.queue),
            rng: Mutex::new(fastrand::Rng::with_seed(behaviour.seed)),
            healthy: AtomicBool::new(true),
            in_flight: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            filler: body::filler(),
            behaviour,
        }
    }

    /// Requests being worked on or waiting for a slot.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that were answered with 5xx so far.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Draws what happens to the next request.
    fn fate(&self) -> Fate {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        // Both are drawn for every request, so that changing one rate leaves the other draws as they were.
        let (hang, fail) = (rng.f64(), rng.f64());
        if hang < self.behaviour.hang_rate {
            Fate::Hang
        } else if fail < self.behaviour.error_rate {
            Fate::Fail
        } else {
            Fate::Answer(self.behaviour.latency.sample(&mut rng))
        }
    }
}
