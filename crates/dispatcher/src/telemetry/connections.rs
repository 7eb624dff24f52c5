//! Connections whose bytes go on as they are, under Istio's names.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::metrics::{Lines, Service};
use crate::exchange::flags::Flags;

/// One worker's numbers for one cluster. Only it adds to them.
#[derive(Debug)]
pub(crate) struct ConnectionSeries {
    service: Arc<Service>,
    generation: Arc<str>,
    opened: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// By how they ended: a handful of kinds.
    closed: Mutex<BTreeMap<String, u64>>,
}

impl ConnectionSeries {
    pub(super) fn new(service: Arc<Service>, generation: Arc<str>) -> Self {
        Self {
            service,
            generation,
            opened: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            closed: Mutex::default(),
        }
    }

    /// Counts the end of a connection.
    pub(super) fn closed(&self, flags: Flags) {
        let mut closed = self.closed.lock().expect("no panic holds it");
        *closed.entry(flags.to_string()).or_default() += 1;
    }
}

/// A connection's own numbers, which its cluster's grow with.
#[derive(Debug)]
pub(crate) struct ConnectionCounts {
    series: Arc<ConnectionSeries>,
    received: Cell<u64>,
    sent: Cell<u64>,
}

impl ConnectionCounts {
    /// Counts a connection.
    pub(super) fn open(series: Arc<ConnectionSeries>) -> Self {
        add(&series.opened, 1);
        Self {
            series,
            received: Cell::new(0),
            sent: Cell::new(0),
        }
    }

    /// Counts bytes from and to the client.
    pub(crate) fn moved(&self, received: u64, sent: u64) {
        self.received.set(self.received.get() + received);
        self.sent.set(self.sent.get() + sent);
        add(&self.series.received, received);
        add(&self.series.sent, sent);
    }

    /// Bytes received from and sent to the client so far.
    pub(crate) fn own(&self) -> (u64, u64) {
        (self.received.get(), self.sent.get())
    }
}

/// Only one worker writes: a load and a store need no locked instruction.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
}

/// Appends the numbers of all workers.
pub(super) fn write(all: &[Arc<ConnectionSeries>], out: &mut Lines<'_>) {
    let mut sums: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    let mut closed: BTreeMap<String, u64> = BTreeMap::new();
    for series in all {
        let labels = series.service.labels(&series.generation);
        let labels = format!("{labels},request_protocol=\"tcp\"");
        for (flags, count) in series.closed.lock().expect("no panic holds it").iter() {
            let labels = format!("{labels},response_flags=\"{flags}\"");
            *closed.entry(labels).or_default() += count;
        }
        let sums = sums.entry(labels).or_default();
        for (sum, counter) in sums
            .iter_mut()
            .zip([&series.opened, &series.received, &series.sent])
        {
            *sum += counter.load(Ordering::Relaxed);
        }
    }
    for (position, name, help) in [
        (
            0,
            "istio_tcp_connections_opened_total",
            "TCP connections opened.",
        ),
        (
            1,
            "istio_tcp_received_bytes_total",
            "Bytes received from clients of TCP connections.",
        ),
        (
            2,
            "istio_tcp_sent_bytes_total",
            "Bytes sent to clients of TCP connections.",
        ),
    ] {
        out.line(&format!("# HELP {name} {help}"));
        out.line(&format!("# TYPE {name} counter"));
        for (labels, sums) in &sums {
            out.line(&format!("{name}{{{labels}}} {}", sums[position]));
        }
    }
    let name = "istio_tcp_connections_closed_total";
    out.line(&format!("# HELP {name} TCP connections closed, and why."));
    out.line(&format!("# TYPE {name} counter"));
    for (labels, count) in &closed {
        out.line(&format!("{name}{{{labels}}} {count}"));
    }
}
