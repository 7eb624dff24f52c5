//! Request counters and durations under Istio's names.
//!
//! Every worker has its own series, which only it writes, so counting costs a plain addition. The admin
//! server adds up the series of all workers that have the same labels.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::connections::{self, ConnectionCounts, ConnectionSeries};
use super::tally::{self, Tally, TallyCounts};
use super::traffic::{self, TrafficCounters};
use crate::exchange::flags::Flags;
use crate::load_report::LoadCounters;

/// Upper bounds in milliseconds, Envoy's defaults, which Istio's dashboards expect.
const BUCKETS_MS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// Different outcomes kept apart per cluster and worker; beyond that, the code is reported as `0`.
const MAX_OUTCOMES: usize = 64;

/// What tells one series of a cluster from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestOutcome {
    /// 0 when no answer was begun, as in Envoy.
    pub(crate) status: u16,
    pub(crate) flags: Flags,
    /// `grpc-status` of a gRPC request.
    pub(crate) grpc: Option<u8>,
    pub(crate) is_grpc: bool,
}

/// One worker's numbers for one cluster and outcome.
#[derive(Debug)]
struct Series {
    service: Arc<Service>,
    generation: Arc<str>,
    outcome: RequestOutcome,
    /// One per bound, then one for everything longer; not cumulative.
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    sum_micros: AtomicU64,
}

/// The labels that a cluster gives.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Service {
    /// Host name.
    pub(crate) host: String,
    /// First label of a Kubernetes host name, else the host name.
    pub(crate) name: String,
    /// Empty when unknown.
    pub(crate) namespace: String,
}

/// All series of a process.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    series: Mutex<Vec<Arc<Series>>>,
    loads: Mutex<Vec<Arc<LoadCounters>>>,
    traffic: Mutex<Vec<Arc<TrafficCounters>>>,
    connections: Mutex<Vec<Arc<ConnectionSeries>>>,
    tallies: Mutex<Vec<Arc<TallyCounts>>>,
}

/// One worker's series of one service under one generation.
#[derive(Debug)]
pub(crate) struct ServiceMetrics {
    registry: Arc<Registry>,
    service: Arc<Service>,
    generation: Arc<str>,
    tally: Arc<TallyCounts>,
    series: RefCell<Vec<Arc<Series>>>,
    /// Made with the first.
    connections: OnceCell<Arc<ConnectionSeries>>,
}

impl ServiceMetrics {
    pub(super) fn new(
        registry: Arc<Registry>,
        service: Arc<Service>,
        generation: Arc<str>,
        tally: Arc<TallyCounts>,
    ) -> Self {
        Self {
            registry,
            service,
            generation,
            tally,
            series: RefCell::default(),
            connections: OnceCell::new(),
        }
    }

    /// Counts a connection whose bytes go on as they are.
    pub(crate) fn connection(&self) -> ConnectionCounts {
        ConnectionCounts::open(self.connections().clone())
    }

    /// Counts that one has reached an endpoint, or won't.
    pub(crate) fn connection_made(&self, connected: bool) {
        self.tally.connection(connected);
    }

    /// Counts the end of one.
    pub(crate) fn connection_closed(&self, flags: Flags) {
        self.connections().closed(flags);
    }

    fn connections(&self) -> &Arc<ConnectionSeries> {
        self.connections.get_or_init(|| {
            let series = Arc::new(ConnectionSeries::new(
                self.service.clone(),
                self.generation.clone(),
            ));
            let mut all = self.registry.connections.lock().expect("no panic holds it");
            all.push(series.clone());
            series
        })
    }

    /// Counts one finished request. `latency`: until its answer began, if one did.
    pub(crate) fn count(
        &self,
        outcome: RequestOutcome,
        duration: Duration,
        latency: Option<Duration>,
    ) {
        self.tally.request(outcome, latency);
        let mut all = self.series.borrow_mut();
        let position = all.iter().position(|series| series.outcome == outcome);
        let position = position.unwrap_or_else(|| self.add(&mut all, outcome));
        all[position].add(duration);
    }

    fn add(&self, all: &mut Vec<Arc<Series>>, mut outcome: RequestOutcome) -> usize {
        if all.len() >= MAX_OUTCOMES {
            outcome = RequestOutcome {
                status: 0,
                flags: Flags::NONE,
                grpc: None,
                is_grpc: false,
            };
            if let Some(position) = all.iter().position(|series| series.outcome == outcome) {
                return position;
            }
        }
        let series = Arc::new(Series {
            service: self.service.clone(),
            generation: self.generation.clone(),
            outcome,
            buckets: Default::default(),
            sum_micros: AtomicU64::new(0),
        });
        self.registry
            .series
            .lock()
            .expect("no panic holds it")
            .push(series.clone());
        all.push(series);
        all.len() - 1
    }
}

impl Series {
    fn add(&self, duration: Duration) {
        let ms = duration.as_secs_f64() * 1e3;
        let bucket = BUCKETS_MS
            .iter()
            .position(|bound| ms <= *bound)
            .unwrap_or(BUCKETS_MS.len());
        // Only this worker writes: a load and a store need no locked instruction.
        let add = |counter: &AtomicU64, amount: u64| {
            counter.store(counter.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
        };
        add(&self.buckets[bucket], 1);
        add(
            &self.sum_micros,
            u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        );
    }

    fn labels(&self) -> String {
        let protocol = if self.outcome.is_grpc { "grpc" } else { "http" };
        let mut labels = format!(
            "{},request_protocol=\"{protocol}\",response_code=\"{}\",response_flags=\"{}\"",
            self.service.labels(&self.generation),
            self.outcome.status,
            self.outcome.flags,
        );
        if let Some(status) = self.outcome.grpc {
            write!(labels, ",grpc_response_status=\"{status}\"").expect("a string takes all");
        }
        labels
    }
}

impl Service {
    /// What every series of it under a generation begins with.
    pub(super) fn labels(&self, generation: &str) -> String {
        let generation = match generation {
            "" => String::new(),
            id => format!("generation=\"{id}\","),
        };
        format!(
            "{generation}reporter=\"source\",destination_service=\"{}\",destination_service_name=\"{}\",\
             destination_service_namespace=\"{}\"",
            or_unknown(&self.host),
            or_unknown(&self.name),
            or_unknown(&self.namespace),
        )
    }
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() {
        return "unknown".to_owned();
    }
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

impl Registry {
    /// A worker's counts of a generation.
    pub(super) fn tally(&self, generation: Arc<str>) -> Arc<TallyCounts> {
        let counts = Arc::new(TallyCounts::new(generation));
        let mut all = self.tallies.lock().expect("no panic holds it");
        all.push(counts.clone());
        counts
    }

    /// What the generations' requests came to; `in_force` first, the canary second.
    pub(crate) fn tallies(&self, in_force: &[Arc<str>]) -> Vec<Tally> {
        let all = self.tallies.lock().expect("no panic holds it");
        tally::add_up(&all, in_force)
    }

    /// Gives up the series of generations that no worker and no request holds any more.
    pub(crate) fn prune(&self) {
        fn held<T>(all: &Mutex<Vec<Arc<T>>>) {
            let mut all = all.lock().expect("no panic holds it");
            all.retain(|series| Arc::strong_count(series) > 1);
        }
        held(&self.series);
        held(&self.connections);
        held(&self.tallies);
    }

    /// Counters for another worker.
    pub(crate) fn load_counters(&self) -> Arc<LoadCounters> {
        let counters = Arc::<LoadCounters>::default();
        let mut all = self.loads.lock().expect("no panic holds it");
        all.push(counters.clone());
        counters
    }

    /// The same for what is done to requests on purpose.
    pub(crate) fn traffic_counters(&self) -> Arc<TrafficCounters> {
        let counters = Arc::<TrafficCounters>::default();
        let mut all = self.traffic.lock().expect("no panic holds it");
        all.push(counters.clone());
        counters
    }

    fn write_loads(&self, out: &mut Lines<'_>) {
        let all = self.loads.lock().expect("no panic holds it");
        let sum = |counter: fn(&LoadCounters) -> &AtomicU64| -> u64 {
            let counts = all.iter().map(|counters| counter(counters));
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        out.line("# HELP dalbi_load_reports_total Load reports that endpoints sent.");
        out.line("# TYPE dalbi_load_reports_total counter");
        let (read, malformed) = (sum(|all| &all.read), sum(|all| &all.malformed));
        out.line(&format!(
            "dalbi_load_reports_total{{result=\"read\"}} {read}"
        ));
        out.line(&format!(
            "dalbi_load_reports_total{{result=\"malformed\"}} {malformed}"
        ));
        out.line("# HELP dalbi_load_probes_total Endpoints asked for their load.");
        out.line("# TYPE dalbi_load_probes_total counter");
        let (answered, failed) = (
            sum(|all| &all.probes_answered),
            sum(|all| &all.probes_failed),
        );
        out.line(&format!(
            "dalbi_load_probes_total{{result=\"answered\"}} {answered}"
        ));
        out.line(&format!(
            "dalbi_load_probes_total{{result=\"failed\"}} {failed}"
        ));
    }

    /// Appends `istio_requests_total` and `istio_request_duration_milliseconds` in Prometheus' text format.
    pub(crate) fn write(&self, out: &mut String) {
        let mut totals: BTreeMap<String, ([u64; BUCKETS_MS.len() + 1], u64)> = BTreeMap::new();
        for series in self.series.lock().expect("no panic holds it").iter() {
            let (buckets, sum) = totals.entry(series.labels()).or_default();
            for (total, bucket) in buckets.iter_mut().zip(&series.buckets) {
                *total += bucket.load(Ordering::Relaxed);
            }
            *sum += series.sum_micros.load(Ordering::Relaxed);
        }
        let out = &mut Lines(out);
        self.write_loads(out);
        traffic::write(&self.traffic.lock().expect("no panic holds it"), out);
        connections::write(&self.connections.lock().expect("no panic holds it"), out);
        out.line("# HELP istio_requests_total Requests answered, by destination and outcome.");
        out.line("# TYPE istio_requests_total counter");
        for (labels, (buckets, _)) in &totals {
            out.line(&format!(
                "istio_requests_total{{{labels}}} {}",
                buckets.iter().sum::<u64>()
            ));
        }
        out.line("# HELP istio_request_duration_milliseconds From the request's head to the end of its answer.");
        out.line("# TYPE istio_request_duration_milliseconds histogram");
        for (labels, (buckets, sum_micros)) in &totals {
            let name = "istio_request_duration_milliseconds";
            let mut below = 0;
            for (bound, count) in BUCKETS_MS.iter().zip(buckets) {
                below += count;
                out.line(&format!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"));
            }
            let all: u64 = buckets.iter().sum();
            out.line(&format!("{name}_bucket{{{labels},le=\"+Inf\"}} {all}"));
            out.line(&format!(
                "{name}_sum{{{labels}}} {}",
                *sum_micros as f64 / 1e3
            ));
            out.line(&format!("{name}_count{{{labels}}} {all}"));
        }
    }
}

/// A page of metrics.
pub(super) struct Lines<'s>(&'s mut String);

impl Lines<'_> {
    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16) -> RequestOutcome {
        RequestOutcome {
            status,
            flags: Flags::NONE,
            grpc: None,
            is_grpc: false,
        }
    }

    fn metrics(registry: &Arc<Registry>, service: Service) -> ServiceMetrics {
        let tally = registry.tally("".into());
        ServiceMetrics::new(registry.clone(), Arc::new(service), "".into(), tally)
    }

    #[test]
    fn workers_of_the_same_service_add_up() {
        let registry = Arc::new(Registry::default());
        for _ in 0..2 {
            let service = Service {
                host: "a.default.svc.cluster.local".into(),
                name: "a".into(),
                namespace: "default".into(),
            };
            metrics(&registry, service).count(outcome(200), Duration::from_millis(3), None);
        }
        let mut text = String::new();
        registry.write(&mut text);
        assert!(
            text.contains("response_code=\"200\",response_flags=\"-\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("le=\"1\"} 0\n") && text.contains("le=\"5\"} 2\n"),
            "{text}"
        );
    }

    #[test]
    fn outcomes_are_bounded() {
        let registry = Arc::new(Registry::default());
        let metrics = metrics(&registry, Service::default());
        for status in 100..600 {
            metrics.count(outcome(status), Duration::ZERO, None);
        }
        let series = registry.series.lock().unwrap();
        assert_eq!(series.len(), MAX_OUTCOMES + 1);
        let other: u64 = series[MAX_OUTCOMES]
            .buckets
            .iter()
            .map(|b| b.load(Ordering::Relaxed))
            .sum();
        assert_eq!(other, 500 - MAX_OUTCOMES as u64);
    }
}
