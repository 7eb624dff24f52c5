//! An open-loop load generator: requests start when they are due, whatever became of earlier ones.
//!
//! Latency counts from the moment a request was due, not from when it could be sent, so that a stall
//! shows in every request it delayed (no coordinated omission). Requests in flight are bounded; one that
//! would go past the bound is counted as failed.

mod client;
mod recorder;
mod schedule;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::{Semaphore, mpsc, watch};

use client::Client;
pub(crate) use recorder::{Recorder, Tally, Window};
use schedule::Schedule;

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Where to connect.
    pub(crate) target: SocketAddr,
    /// `Host` of the requests.
    pub(crate) authority: String,
    /// Paths, taken in turn.
    pub(crate) paths: Vec<String>,
    /// Mean arrivals per second of a Poisson process.
    pub(crate) rate_per_s: f64,
    /// When to stop by itself.
    pub(crate) duration: Option<Duration>,
    /// A request without a whole answer by then has failed.
    pub(crate) timeout: Duration,
    /// Bound on requests in flight.
    pub(crate) max_outstanding: usize,
    /// Seed of the arrivals.
    pub(crate) seed: u64,
}

/// A load that is being sent, by two threads of its own.
#[derive(Debug)]
pub(crate) struct Load {
    recorder: Arc<Recorder>,
    stopping: Arc<AtomicBool>,
    /// Closed when the last request has ended.
    ended: watch::Receiver<()>,
}

impl Load {
    /// Starts sending.
    pub(crate) fn start(plan: Plan) -> anyhow::Result<Self> {
        let recorder = Arc::new(Recorder::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let (due, arrivals) = mpsc::unbounded_channel();
        let schedule = Schedule::new(plan.rate_per_s, plan.duration, plan.seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start a runtime for the load generator")?;
        let stop = Arc::clone(&stopping);
        thread::Builder::new()
            .name("load-pacer".to_owned())
            .spawn(move || pace(schedule, &due, &stop))
            .context("start a thread that paces the load")?;
        let results = Arc::clone(&recorder);
        let (end, ended) = watch::channel(());
        thread::Builder::new()
            .name("load-sender".to_owned())
            .spawn(move || {
                let tasks = tokio::task::LocalSet::new();
                tasks.block_on(&runtime, send(plan, arrivals, results));
                drop(end);
            })
            .context("start a thread that sends the load")?;
        Ok(Self {
            recorder,
            stopping,
            ended,
        })
    }

    /// Results so far.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Resolves when the last request has ended.
    pub(crate) async fn finished(&self) {
        // Nothing is ever sent: it changes only by being closed.
        let _closed = self.ended.clone().changed().await;
    }

    /// No further requests; those in flight may end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// Tells when each request is due. A thread of its own, since the runtime's timer is a millisecond coarse.
fn pace(schedule: Schedule, due: &mpsc::UnboundedSender<Instant>, stop: &AtomicBool) {
    let start = Instant::now();
    for offset in schedule {
        let at = start + offset;
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) || due.send(at).is_err() {
            return;
        }
    }
}

async fn send(plan: Plan, mut arrivals: mpsc::UnboundedReceiver<Instant>, recorder: Arc<Recorder>) {
    let client = Rc::new(Client::new(&plan));
    let outstanding = Arc::new(Semaphore::new(plan.max_outstanding));
    let mut requests = 0;
    while let Some(due) = arrivals.recv().await {
        let Ok(permit) = Arc::clone(&outstanding).try_acquire_owned() else {
            recorder.failed(
                None,
                "more requests in flight than the load generator keeps",
            );
            continue;
        };
        let (client, recorder, path) = (Rc::clone(&client), Arc::clone(&recorder), requests);
        requests += 1;
        tokio::task::spawn_local(async move {
            match tokio::time::timeout_at((due + client.timeout).into(), client.request(path)).await
            {
                Ok(Ok(answer)) if answer.status.is_server_error() => {
                    let reason = format!("status {}", answer.status.as_u16());
                    recorder.failed(answer.endpoint.as_deref(), &reason);
                }
                Ok(Ok(answer)) => recorder.answered(answer.endpoint.as_deref(), due.elapsed()),
                Ok(Err(error)) => recorder.failed(None, &error.to_string()),
                Err(_elapsed) => recorder.failed(None, "no answer in time"),
            }
            drop(permit);
        });
    }
    // All permits are back when the last request has ended; each ends by its timeout.
    let all = u32::try_from(plan.max_outstanding).unwrap_or(u32::MAX);
    let _all_ended = outstanding.acquire_many(all).await;
}

#[cfg(test)]
mod tests;
