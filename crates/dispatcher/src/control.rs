//! The control thread: everything a dispatcher does that is not a request.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use mesh::{EndpointAddress, Mesh};
use tokio::sync::Notify;

use crate::clock;
use crate::dispatcher::Applied;
use crate::health;
use crate::names::{self, Schedule};
use crate::pulse::Pulse;
use crate::snapshot::{InForce, Snapshot};
use crate::telemetry::generation;
use crate::worker::Shared;

/// How long the first look-up may hold up the start.
const FIRST_RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often certificate and database files are looked at.
const FILE_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait between looks at the balancers' own deadlines.
const BALANCER_INTERVAL: Duration = Duration::from_millis(500);

/// What the control thread, the inspectors and the dispatcher's owner share.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pulse: Arc<Pulse>,
    in_force: ArcSwap<InForce>,
    /// What is known of names, in the order of their answers.
    addresses: Mutex<HashMap<String, Vec<IpAddr>>>,
    status: Mutex<Status>,
    log_lines_dropped: Arc<AtomicU64>,
    changed: Notify,
    stopped: Notify,
}

/// What became of the configurations so far.
#[derive(Debug, Default)]
struct Status {
    applied: u64,
    rejected: u64,
    applied_at: Option<SystemTime>,
    took: Duration,
    /// Why the newest documents were refused; `None` once some were taken.
    rejection: Option<(SystemTime, serde_json::Value)>,
    /// What became of the documents' objects, as whoever read them says it.
    objects: serde_json::Value,
}

impl Control {
    pub(crate) fn new(
        shared: Arc<Shared>,
        snapshot: Arc<Snapshot>,
        log_lines_dropped: Arc<AtomicU64>,
    ) -> Self {
        Self {
            shared,
            pulse: Pulse::new(),
            in_force: ArcSwap::from_pointee(InForce::all(snapshot)),
            addresses: Mutex::default(),
            status: Mutex::default(),
            log_lines_dropped,
            changed: Notify::new(),
            stopped: Notify::new(),
        }
    }

    /// What serves.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// The snapshot that serves all requests but the canary's.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.in_force.load().base.clone()
    }

    /// Takes note of what the workers serve by.
    pub(crate) fn serves(&self, in_force: InForce) {
        self.in_force.store(Arc::new(in_force));
        self.shared.registry.prune();
        self.changed.notify_one();
    }

    /// Takes note that it is another configuration.
    pub(crate) fn applied(&self, applied: &Applied) {
        let mut status = self.status();
        status.applied += 1;
        status.applied_at = Some(SystemTime::now());
        status.took = applied.took;
        status.rejection = None;
    }

    /// Takes note of documents that were refused.
    pub(crate) fn rejected(&self, reasons: serde_json::Value) {
        let mut status = self.status();
        status.rejected += 1;
        status.rejection = Some((SystemTime::now(), reasons));
    }

    /// Ends the control thread.
    pub(crate) fn stop(&self) {
        self.stopped.notify_one();
    }

    fn status(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().expect("no panic holds it")
    }

    /// What is known of a name's addresses, in the order of its newest answer.
    pub(crate) fn addresses(&self, name: &str, port: u16) -> Vec<SocketAddr> {
        let known = self.addresses.lock().expect("no panic holds it");
        let addresses = known.get(name).into_iter().flatten();
        addresses
            .map(|address| SocketAddr::new(*address, port))
            .collect()
    }

    fn found(&self, name: String, addresses: Vec<IpAddr>) {
        let mut known = self.addresses.lock().expect("no panic holds it");
        known.insert(name, addresses);
    }

    /// Looks those names of a mesh up that are not known yet, before it is served, for as long as a start may take.
    pub(crate) fn resolve_now(&self, mesh: &Mesh) {
        let endpoints = mesh.clusters.iter().flat_map(|cluster| &cluster.endpoints);
        let names: BTreeSet<_> = endpoints
            .filter_map(|endpoint| match &endpoint.address {
                EndpointAddress::Dns(name, _) | EndpointAddress::DnsFirst(name, _) => {
                    Some(name.clone())
                }
                EndpointAddress::Ip(_) | EndpointAddress::Unix(_) => None,
            })
            .collect();
        let names: BTreeSet<String> = {
            let known = self.addresses.lock().expect("no panic holds it");
            names
                .into_iter()
                .filter(|name| !known.contains_key(name))
                .collect()
        };
        if names.is_empty() {
            return;
        }
        // The caller's thread may be driving a runtime already.
        std::thread::scope(|scope| {
            scope.spawn(|| self.look_up_in_time(names));
        });
    }

    fn look_up_in_time(&self, names: BTreeSet<String>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime needs only a few file descriptors");
        runtime.block_on(async {
            let server = self.shared.options.dns_server;
            let all = names::look_up_all(names, server, |name, found| self.found(name, found));
            let looking = tokio::time::timeout(FIRST_RESOLVE_TIMEOUT, all);
            if looking.await.is_err() {
                tracing::warn!("names of endpoints are still being looked up; requests to them get 503 until then");
            }
        });
    }

    /// Gives clusters the addresses that are known now.
    fn resolve(&self, concerns: impl Fn(&str) -> bool) {
        for (_, cluster) in self.in_force().clusters() {
            if cluster.names().any(|(name, _)| concerns(name)) {
                cluster.resolve(&|name, port| self.addresses(name, port));
            }
        }
    }

    /// Says what became of the objects that the configuration in force was made of.
    pub(crate) fn set_objects(&self, objects: serde_json::Value) {
        self.status().objects = objects;
    }

    /// `/config/status`.
    pub(crate) fn status_json(&self) -> serde_json::Value {
        let in_force = self.in_force();
        let snapshot = &in_force.base;
        let canary = in_force.canary.as_ref().map(|canary| {
            let generation = &*canary.snapshot.generation;
            serde_json::json!({ "generation": generation, "share": canary.share })
        });
        let status = self.status();
        serde_json::json!({
            "snapshot": snapshot.number,
            "generation": &*snapshot.generation,
            "canary": canary,
            "applied_at": status.applied_at.map(unix_seconds),
            "apply_ms": status.took.as_secs_f64() * 1e3,
            "applied": status.applied,
            "rejected": status.rejected,
            "rejection": status.rejection.as_ref().map(|(at, reasons)| serde_json::json!({
                "at": unix_seconds(*at),
                "reasons": reasons,
            })),
            "listeners": snapshot.mesh.listeners.len(),
            "clusters": snapshot.clusters.len(),
            "objects": status.objects,
        })
    }

    /// `/metrics`: what the requests' own series do not say.
    pub(crate) fn write_metrics(&self, out: &mut String) {
        let in_force = self.in_force();
        let snapshot = &in_force.base;
        let mut text = String::new();
        self.shared.registry.write(&mut text);
        let status = self.status();
        let (reloads, connections) = ("dalbi_config_reloads_total", "dalbi_client_connections");
        let open = self.shared.connections.load(Ordering::Relaxed);
        let dropped = self.log_lines_dropped.load(Ordering::Relaxed);
        let applied_at = status.applied_at.map_or(0.0, unix_seconds);
        let mut metric = |name: &str, kind: &str, help: &str, lines: &[(String, f64)]| {
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
                .expect("a string takes all");
            for (labels, value) in lines {
                writeln!(text, "{name}{labels} {value}").expect("a string takes all");
            }
        };
        let plain = |value: f64| vec![(String::new(), value)];
        metric(
            reloads,
            "counter",
            "Configurations taken and refused.",
            &[
                ("{result=\"applied\"}".to_owned(), status.applied as f64),
                ("{result=\"rejected\"}".to_owned(), status.rejected as f64),
            ],
        );
        metric(
            "dalbi_config_number",
            "gauge",
            "Counts the configurations of this process.",
            &plain(snapshot.number as f64),
        );
        metric(
            "dalbi_config_applied_timestamp_seconds",
            "gauge",
            "When the configuration in force was taken.",
            &plain(applied_at),
        );
        metric(
            "dalbi_config_rejected",
            "gauge",
            "1 while the newest documents are refused.",
            &plain(f64::from(u8::from(status.rejection.is_some()))),
        );
        metric(
            connections,
            "gauge",
            "Open client connections.",
            &plain(open as f64),
        );
        metric(
            "dalbi_access_log_dropped_total",
            "counter",
            "Lines dropped because the disk was slow.",
            &plain(dropped as f64),
        );
        let clusters = crate::views::ClusterView::all(&in_force);
        let label = |cluster: &crate::views::ClusterView| match cluster.generation.as_str() {
            "" => format!("{{cluster=\"{}\"}}", cluster.name),
            id => format!("{{generation=\"{id}\",cluster=\"{}\"}}", cluster.name),
        };
        let per_cluster =
            |value: &dyn Fn(&crate::views::ClusterView) -> f64| -> Vec<(String, f64)> {
                clusters
                    .iter()
                    .map(|cluster| (label(cluster), value(cluster)))
                    .collect()
            };
        metric(
            "dalbi_cluster_connections",
            "gauge",
            "Connections to a cluster.",
            &per_cluster(&|cluster| f64::from(cluster.connections)),
        );
        metric(
            "dalbi_cluster_endpoints",
            "gauge",
            "Endpoints of a cluster.",
            &per_cluster(&|cluster| cluster.endpoints.len() as f64),
        );
        metric(
            "dalbi_cluster_endpoints_available",
            "gauge",
            "Endpoints that are healthy and not ejected.",
            &per_cluster(&|cluster| {
                cluster
                    .endpoints
                    .iter()
                    .filter(|endpoint| endpoint.healthy && !endpoint.ejected)
                    .count() as f64
            }),
        );
        metric(
            "dalbi_cluster_requests_in_flight",
            "gauge",
            "Requests sent and not answered.",
            &per_cluster(&|cluster| {
                cluster
                    .endpoints
                    .iter()
                    .map(|endpoint| f64::from(endpoint.in_flight))
                    .sum()
            }),
        );
        metric(
            "dalbi_cluster_requests_waiting",
            "gauge",
            "Requests that wait for their tenant's turn.",
            &per_cluster(&|cluster| cluster.admission_waiting as f64),
        );
        generation::label(&text, &snapshot.generation, out);
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// Runs the control thread until it is stopped.
pub(crate) fn run(control: &Arc<Control>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime needs only a few file descriptors");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::task::spawn_local(control.pulse.clone().beat());
        tokio::task::spawn_local(resolve_names(control.clone()));
        tokio::task::spawn_local(reload_files(control.clone()));
        tokio::task::spawn_local(wake_balancers(control.clone()));
        tokio::task::spawn_local(health::check(control.clone()));
        control.stopped.notified().await;
    });
    // A look-up may still block a helper thread.
    runtime.shutdown_background();
}

async fn resolve_names(control: Arc<Control>) {
    let mut schedule = Schedule::new(control.shared.options.dns_server);
    let mut known: Option<Arc<InForce>> = None;
    loop {
        let in_force = control.in_force();
        if known.is_none_or(|known| !Arc::ptr_eq(&known, &in_force)) {
            let clusters = in_force.clusters();
            let names = clusters.flat_map(|(_, cluster)| cluster.names());
            let names: BTreeSet<_> = names.map(|(name, _)| name.to_owned()).collect();
            control
                .addresses
                .lock()
                .expect("no panic holds it")
                .retain(|name, _| names.contains(name));
            schedule.want(&names, Instant::now());
            // An answer may have come while the snapshot was built.
            control.resolve(|_| true);
        }
        known = Some(in_force);
        tokio::select! {
            answer = schedule.next() => if let Some((name, addresses)) = answer {
                control.found(name.clone(), addresses);
                control.resolve(|other| other == name);
            },
            () = control.changed.notified() => {}
        }
    }
}

async fn reload_files(control: Arc<Control>) {
    let mut ticks = tokio::time::interval(FILE_INTERVAL);
    loop {
        ticks.tick().await;
        for snapshot in control.in_force().snapshots() {
            snapshot.reload_certificates();
            snapshot.reload_places();
        }
    }
}

/// Calls the balancers when they want to be called.
async fn wake_balancers(control: Arc<Control>) {
    loop {
        let now = clock::now();
        let mut next = now + BALANCER_INTERVAL;
        for (_, cluster) in control.in_force().clusters() {
            let members = cluster.members();
            let Some(due) = members.balancer.poll_timeout() else {
                continue;
            };
            if due <= now {
                members.balancer.handle_timeout(now);
            } else {
                next = next.min(due);
            }
        }
        tokio::time::sleep(next.since(now).max(Duration::from_millis(1))).await;
    }
}
