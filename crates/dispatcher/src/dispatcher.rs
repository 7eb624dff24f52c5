//! A running data plane, as the binary holds it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mesh::Mesh;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::confirmation::Confirmation;
use crate::control::{self, Control};
use crate::inspector::Inspector;
use crate::learned;
use crate::options::Options;
use crate::places::PlacesError;
use crate::pulse::Pulse;
use crate::snapshot::{Before, Canary, InForce, Snapshot};
use crate::sockets::{Inherited, Unclaimed, listen, probe};
use crate::telemetry::access_log::Log;
use crate::telemetry::tally::Tally;
use crate::transport::tls::TlsError;
use crate::views::{ClusterView, ListenerView};
use crate::worker::{self, Command, Shared};

/// A configuration that was not taken; the one before goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A listener can't be opened.
    #[error("listen on {address} for {listener}: {source}; {}", advice(.source, *.address))]
    Listen {
        /// The listener's name.
        listener: String,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Two listeners want the same address.
    #[error(
        "{first} and {second} both listen on {address}; give one of them another port or `bind` address"
    )]
    Conflict {
        /// A listener's name.
        first: String,
        /// Another's.
        second: String,
        /// Where.
        address: SocketAddr,
    },
    /// A port does not exist.
    #[error(
        "port {port} of {listener} and --port-offset {offset} add up to more than 65535; use a smaller offset"
    )]
    Port {
        /// The listener's name.
        listener: String,
        /// Its port in the documents.
        port: u16,
        /// What was to be added.
        offset: u16,
    },
    /// A certificate or TLS setting can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A database of places can't be used.
    #[error(transparent)]
    Places(#[from] PlacesError),
}

/// A dispatcher that did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The mesh can't be served.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The access log can't be written.
    #[error("open access log {path}: {source}")]
    AccessLog {
        /// Its file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A thread can't be started.
    #[error("start a thread: {0}; is the limit on processes reached?")]
    Thread(io::Error),
}

fn advice(error: &io::Error, address: SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another process has port {}; stop it or choose another with --port-offset",
                address.port()
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "port {} needs privileges; try --port-offset 8000",
                address.port()
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "this machine has no address {}; check `bind` or --bind",
                address.ip()
            )
        }
        _ => "check the address".to_owned(),
    }
}

/// What taking a configuration changed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Applied {
    /// Counts the configurations of this process from 1.
    pub number: u64,
    /// Listeners that are new.
    pub opened: Vec<SocketAddr>,
    /// Listeners that are gone.
    pub closed: Vec<SocketAddr>,
    /// From the call until every worker serves by it.
    pub took: Duration,
}

/// A running data plane: worker threads that serve, and a control thread for everything that is not a request.
#[derive(Debug)]
pub struct Dispatcher {
    shared: Arc<Shared>,
    control: Arc<Control>,
    workers: Vec<Worker>,
    control_thread: Option<JoinHandle<()>>,
    /// The number of the newest snapshot. Held while what serves is changed: one change after the other.
    newest: Mutex<u64>,
    confirmation: Mutex<Option<Arc<Confirmation>>>,
}

#[derive(Debug)]
struct Worker {
    commands: UnboundedSender<Command>,
    pulse: Arc<Pulse>,
    thread: Option<JoinHandle<()>>,
}

impl Dispatcher {
    /// Starts serving a generation, named by its shown id (empty where there is none), with what an earlier process
    /// left. Returns once every listener listens.
    ///
    /// # Errors
    /// Names the listener, address, certificate or file that can't be had; nothing is left running then.
    pub fn start(
        options: Options,
        mesh: Arc<Mesh>,
        generation: &str,
        inherited: Inherited,
    ) -> Result<Self, StartError> {
        let dropped = Arc::new(AtomicU64::new(0));
        let log = Log::open(&options.access_log, dropped.clone()).map_err(|source| {
            StartError::AccessLog {
                path: options
                    .access_log
                    .path
                    .as_ref()
                    .map_or_else(|| "standard output".into(), |p| p.display().to_string()),
                source,
            }
        })?;
        let shared = Arc::new(Shared {
            options,
            registry: Arc::default(),
            log,
            connections: Arc::new(AtomicUsize::new(0)),
            draining: AtomicBool::new(false),
        });
        let empty = Snapshot::build(Arc::default(), "", 0, &shared.options, None, &|_, _| {
            Vec::new()
        })?;
        let empty = Arc::new(empty);
        let control = Arc::new(Control::new(shared.clone(), empty.clone(), dropped));
        let mut dispatcher = Self {
            workers: Vec::new(),
            control_thread: None,
            newest: Mutex::new(0),
            confirmation: Mutex::default(),
            shared: shared.clone(),
            control: control.clone(),
        };
        for index in 0..shared.options.workers.max(1) {
            let (commands, queue) = unbounded_channel();
            let (shared, empty) = (shared.clone(), empty.clone());
            let seed = seed(index);
            let pulse = Pulse::new();
            let beating = pulse.clone();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || worker::run(shared, empty, beating, queue, seed))
                .map_err(StartError::Thread)?;
            dispatcher.workers.push(Worker {
                commands,
                pulse,
                thread: Some(thread),
            });
        }
        control.resolve_now(&mesh);
        dispatcher.take(mesh, generation, None, inherited)?;
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || control::run(&control))
            .map_err(StartError::Thread)?;
        dispatcher.control_thread = Some(thread);
        Ok(dispatcher)
    }

    /// Serves by another mesh from now on, named by its generation's shown id (empty where there is none): all of it
    /// or, with an error, nothing. Requests in flight end by the old one; pools and what balancers learned of
    /// clusters that stay are kept. A canary ends; if it is this mesh of this generation, it is what serves from now
    /// on, as it is.
    ///
    /// # Errors
    /// Names the listener, address or certificate that can't be had.
    pub fn apply(&self, mesh: Arc<Mesh>, generation: &str) -> Result<Applied, ApplyError> {
        // Requests to a server whose name is still looked up would fail, and be held against what is new.
        self.control.resolve_now(&mesh);
        self.take(mesh, generation, None, Inherited::default())
    }

    /// Serves `share` (0 to 1) of requests by another mesh, and the rest as before. Each request is wholly on one; so
    /// is a connection whose bytes go on as they are, and each TLS handshake. Listeners of either are open. Endpoints
    /// that both have share what is learned of them, unless the two check or eject them differently. A canary before
    /// it ends; of one that is this mesh of this generation only the share changes.
    ///
    /// # Errors
    /// Names the listener, address or certificate that can't be had; all is as it was then.
    pub fn apply_canary(
        &self,
        mesh: Arc<Mesh>,
        generation: &str,
        share: f64,
    ) -> Result<Applied, ApplyError> {
        self.control.resolve_now(&mesh);
        let share = share.clamp(0.0, 1.0);
        self.take(mesh, generation, Some(share), Inherited::default())
    }

    /// Ends the canary: all requests are served as those beside it were. Tells whether there was one.
    pub fn drop_canary(&self) -> bool {
        let _one_at_a_time = self.newest.lock().expect("no panic holds it");
        let before = self.control.in_force();
        if before.canary.is_some() {
            let in_force = InForce::all(before.base.clone());
            self.serve(in_force, &mut Unclaimed::default())
                .expect("no listener is opened");
        }
        before.canary.is_some()
    }

    fn take(
        &self,
        mesh: Arc<Mesh>,
        generation: &str,
        share: Option<f64>,
        inherited: Inherited,
    ) -> Result<Applied, ApplyError> {
        let started = Instant::now();
        let mut newest = self.newest.lock().expect("no panic holds it");
        let before = self.control.in_force();
        let canary = before.canary.as_ref().map(|canary| &canary.snapshot);
        let same = canary
            .filter(|canary| Arc::ptr_eq(&canary.mesh, &mesh) && *canary.generation == *generation);
        let snapshot = match same {
            Some(canary) => canary.clone(),
            None => {
                let ancestor = Before {
                    snapshot: &before.base,
                    stays: share.is_some(),
                };
                let snapshot = Snapshot::build(
                    mesh,
                    generation,
                    *newest + 1,
                    &self.shared.options,
                    Some(ancestor),
                    &|name, port| self.control.addresses(name, port),
                )?;
                check_conflicts(&snapshot)?;
                if let Some(told) = inherited.learned {
                    learned::take(&snapshot, told);
                }
                Arc::new(snapshot)
            }
        };
        let number = snapshot.number;
        let in_force = match share {
            None => InForce::all(snapshot),
            Some(share) => InForce {
                base: before.base.clone(),
                canary: Some(Canary { snapshot, share }),
            },
        };
        let (opened, closed) = self.serve(in_force, &mut Unclaimed::new(inherited.sockets))?;
        *newest = number.max(*newest);
        let applied = Applied {
            number,
            opened,
            closed,
            took: started.elapsed(),
        };
        self.control.applied(&applied);
        Ok(applied)
    }

    /// Has every worker serve by this. Returns which addresses were opened and closed. Call with `newest` held.
    fn serve(
        &self,
        in_force: InForce,
        inherited: &mut Unclaimed,
    ) -> Result<(Vec<SocketAddr>, Vec<SocketAddr>), ApplyError> {
        let before = self.control.in_force();
        let (old, new) = (before.addresses(), in_force.addresses());
        let opened: Vec<_> = new.difference(&old).copied().collect();
        let is_first = old.is_empty();
        let mut sockets: Vec<Vec<_>> = self.workers.iter().map(|_| Vec::new()).collect();
        for address in &opened {
            let open = self.open(*address, is_first, inherited);
            let open = open.map_err(|source| ApplyError::Listen {
                listener: name_of(in_force.newest(), *address),
                address: *address,
                source,
            })?;
            for (sockets, open) in sockets.iter_mut().zip(open) {
                sockets.extend(open.into_iter().map(|socket| (*address, socket)));
            }
        }
        let (done, waiting) = std::sync::mpsc::channel();
        for (worker, sockets) in self.workers.iter().zip(sockets) {
            let command = Command::Serve {
                in_force: in_force.clone(),
                sockets,
                done: done.clone(),
            };
            worker.commands.send(command).ok();
        }
        drop(done);
        wait(&waiting);
        self.control.serves(in_force);
        Ok((opened, old.difference(&new).copied().collect()))
    }

    /// Waits for a confirmation of the newest generation (the canary, else the one in force) through the network path
    /// that it serves: a request for `/.well-known/dalbi/confirm/TOKEN` that its routing would serve on one of its
    /// gateways, on a connection accepted after it came into force. The dispatcher answers it with 200 and the
    /// generation's id. `None` waits no more.
    pub fn expect_confirmation(&self, token: Option<String>) {
        let _one_at_a_time = self.newest.lock().expect("no panic holds it");
        let in_force = self.control.in_force();
        let newest = in_force.newest();
        let confirmation = token.map(|token| {
            let generation = newest.generation.clone();
            Arc::new(Confirmation::new(newest.number, generation, token))
        });
        let mut expected = self.confirmation.lock().expect("no panic holds it");
        expected.clone_from(&confirmation);
        let (done, waiting) = std::sync::mpsc::channel();
        for worker in &self.workers {
            let command = Command::Expect {
                confirmation: confirmation.clone(),
                done: done.clone(),
            };
            worker.commands.send(command).ok();
        }
        drop(done);
        wait(&waiting);
    }

    /// Whether the confirmation that is waited for has come.
    pub fn confirmation_arrived(&self) -> bool {
        let expected = self.confirmation.lock().expect("no panic holds it");
        expected
            .as_ref()
            .is_some_and(|expected| expected.has_arrived())
    }

    /// What the balancers of the generation in force have learned, by cluster, for a process that takes over
    /// ([`Inherited::learned`]).
    pub fn learned(&self) -> serde_json::Value {
        learned::tell(&self.control.snapshot())
    }

    /// Duplicates of all listening sockets with the listeners' addresses, for a process that takes over
    /// ([`Inherited::sockets`]). What waits in their queues can be accepted by either. A listener that goes away
    /// listens on for as long as somebody has a duplicate.
    ///
    /// # Errors
    /// There are too many open files, or the dispatcher drains.
    pub fn sockets(&self) -> io::Result<Vec<(SocketAddr, TcpListener)>> {
        let mut sockets = Vec::new();
        for worker in &self.workers {
            let (done, waiting) = std::sync::mpsc::channel();
            worker.commands.send(Command::Sockets { done }).ok();
            let draining = |_| io::Error::other("the dispatcher drains: its sockets are closed");
            sockets.extend(waiting.recv().map_err(draining)??);
        }
        Ok(sockets)
    }

    /// Every worker's sockets for an address.
    fn open(
        &self,
        address: SocketAddr,
        is_first: bool,
        inherited: &mut Unclaimed,
    ) -> io::Result<Vec<Vec<TcpListener>>> {
        if let Some(sockets) = inherited.claim(address, self.workers.len()) {
            return sockets;
        }
        if is_first {
            probe(address)?;
        }
        let workers = self.workers.iter();
        workers.map(|_| Ok(vec![listen(address, true)?])).collect()
    }

    /// Records that documents were refused, for `/config/status` and the metrics. `reasons` are shown as they are.
    pub fn reject(&self, reasons: serde_json::Value) {
        self.control.rejected(reasons);
    }

    /// Says what became of the objects that the configuration in force was made of, for `/config/status`, which shows
    /// it as it is.
    pub fn set_objects(&self, objects: serde_json::Value) {
        self.control.set_objects(objects);
    }

    /// The shown id of the generation that serves all requests but the canary's; empty where there is none.
    pub fn generation(&self) -> String {
        self.inspector().generation()
    }

    /// The canary's generation and its share of requests.
    pub fn canary(&self) -> Option<(String, f64)> {
        let in_force = self.control.in_force();
        let canary = in_force.canary.as_ref()?;
        Some((canary.snapshot.generation.to_string(), canary.share))
    }

    /// What the requests of the newest generations came to: first the one in force, then the canary, then those
    /// before, the newest first.
    pub fn tallies(&self) -> Vec<Tally> {
        let in_force = self.control.in_force();
        let names = in_force.snapshots().map(|one| one.generation.clone());
        self.shared.registry.tallies(&names.collect::<Vec<_>>())
    }

    /// How many threads serve.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Processor time that all workers have used so far, in seconds; 0.2 s old at most unless a worker is stuck.
    pub fn busy(&self) -> f64 {
        let used = self.workers.iter().map(|worker| worker.pulse.cpu());
        used.sum::<Duration>().as_secs_f64()
    }

    /// How long ago each worker, and last the control thread, went round: 0.2 s at most while all is well.
    pub fn heartbeats(&self) -> Vec<Duration> {
        let workers = self.workers.iter().map(|worker| &worker.pulse);
        let all = workers.chain([&self.control.pulse]);
        all.map(|pulse| pulse.age()).collect()
    }

    /// A handle for whoever shows what the dispatcher does.
    pub fn inspector(&self) -> Inspector {
        Inspector::new(self.control.clone())
    }

    /// What is listened on.
    pub fn listeners(&self) -> Vec<ListenerView> {
        self.inspector().listeners()
    }

    /// How every cluster's endpoints fare.
    pub fn clusters(&self) -> Vec<ClusterView> {
        self.inspector().clusters()
    }

    /// Stops accepting, lets requests in flight finish, tells keep-alive clients to go, and returns when all
    /// are gone or the drain timeout has passed. Returns the number of connections that were cut off.
    pub fn drain(mut self) -> usize {
        self.shared.draining.store(true, Ordering::Relaxed);
        for worker in &self.workers {
            worker.commands.send(Command::Drain).ok();
        }
        let deadline = Instant::now() + self.shared.options.limits.drain_timeout;
        let threads: Vec<_> = self
            .workers
            .iter_mut()
            .filter_map(|worker| worker.thread.take())
            .collect();
        while Instant::now() < deadline && threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.control.stop();
        if let Some(control) = self.control_thread.take() {
            control.join().ok();
        }
        self.shared.connections.load(Ordering::Relaxed)
    }
}

/// Until every worker has answered or is gone.
fn wait(answers: &Receiver<()>) {
    while answers.recv().is_ok() {}
}

/// Workers must not draw the same random numbers, nor processes that start together.
fn seed(index: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(index)
}

fn name_of(snapshot: &Snapshot, address: SocketAddr) -> String {
    let position = snapshot
        .listeners
        .iter()
        .position(|listener| listener.address == address);
    position.map_or_else(String::new, |position| {
        snapshot.mesh.listeners[position].name.clone()
    })
}

fn check_conflicts(snapshot: &Snapshot) -> Result<(), ApplyError> {
    let names = snapshot
        .mesh
        .listeners
        .iter()
        .map(|listener| &listener.name);
    let mut seen = std::collections::HashMap::new();
    for (listener, name) in snapshot.listeners.iter().zip(names) {
        if let Some(first) = seen.insert(listener.address, name) {
            return Err(ApplyError::Conflict {
                first: first.clone(),
                second: name.clone(),
                address: listener.address,
            });
        }
    }
    Ok(())
}
