//! The built-in test server: it echoes requests and can be made slow, flaky, small or hung.
//!
//! One [`Upstream`] is one simulated server: a service time drawn from a distribution, a number of
//! requests it works on at once with a FIFO queue before it, and shares of requests that fail or hang.
//! It may listen on several addresses, be slow in spells, and says with each answer how busy it is.
//! Everything random comes from its seed.

mod answer;
mod body;
mod distribution;
mod gate;
mod grpc;
mod overrides;
mod server;
mod slowness;
mod tls;
mod websocket;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dalbi_load::{Format, Load, LoadLayer};
use tokio::time::Instant;

pub(crate) use distribution::Distribution;
use gate::Gate;
pub(crate) use server::{Listener, serve};
pub(crate) use slowness::{Antagonist, Slowness, WarmUp, factor};
pub(crate) use tls::acceptor as tls_acceptor;

/// How an upstream behaves towards every request.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    /// Shown in the answer and in its `x-upstream-name` header.
    pub(crate) name: String,
    /// Service time of one request, while it holds one of the `concurrency` slots.
    pub(crate) latency: Distribution,
    /// By how much it takes longer, and when.
    pub(crate) slowness: Slowness,
    /// Time from accepting a connection until anything is read from it.
    pub(crate) connect_delay: Duration,
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
    /// How answers say how busy it is; `None` is not at all.
    pub(crate) report: Option<Format>,
    /// Seed of every random draw.
    pub(crate) seed: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            name: "upstream".to_owned(),
            latency: Distribution::default(),
            slowness: Slowness::default(),
            connect_delay: Duration::ZERO,
            concurrency: None,
            queue: None,
            error_rate: 0.0,
            error_status: http::StatusCode::SERVICE_UNAVAILABLE,
            hang_rate: 0.0,
            body_bytes: None,
            report: Some(Format::Text),
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
    load: Load,
    started: Instant,
    failed: AtomicU64,
    /// Filler that answers are cut from.
    filler: Bytes,
}

/// What chance has in store for one request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Answer(Duration),
    Fail,
    Hang,
}

impl Upstream {
    /// A server that has not been asked anything yet.
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        let name_header = http::HeaderValue::from_str(&behaviour.name)
            .unwrap_or_else(|_| http::HeaderValue::from_static("unprintable"));
        let load = Load::new();
        if let Some(requests) = behaviour.concurrency {
            load.set_concurrency(u32::try_from(requests).unwrap_or(u32::MAX));
        }
        Self {
            name_header,
            gate: Gate::new(behaviour.concurrency, behaviour.queue),
            rng: Mutex::new(fastrand::Rng::with_seed(behaviour.seed)),
            healthy: AtomicBool::new(true),
            load,
            started: Instant::now(),
            failed: AtomicU64::new(0),
            filler: body::filler(),
            behaviour,
        }
    }

    /// Requests being worked on or waiting for a slot.
    pub(crate) fn in_flight(&self) -> u64 {
        self.load.report().in_flight.unwrap_or_default().into()
    }

    /// Asks, from now on, for no further requests. It answers those that come all the same.
    pub(crate) fn drain(&self) {
        self.load.set_draining(true);
    }

    /// What counts its requests and says how busy it is. Silent servers do not answer probes either.
    fn load_layer(&self) -> LoadLayer {
        let layer = LoadLayer::new(self.load.clone()).format(self.behaviour.report);
        match self.behaviour.report {
            Some(_) => layer,
            None => layer.path(None),
        }
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
            let factor = self.behaviour.slowness.factor(self.started.elapsed());
            let service_time = self.behaviour.latency.sample(&mut rng);
            Fate::Answer(service_time.mul_f64(factor))
        }
    }
}
