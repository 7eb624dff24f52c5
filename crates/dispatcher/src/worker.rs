//! A worker: one thread, one runtime, its own listening sockets, pools and connections.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use alba::Rng;
use smallvec::SmallVec;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, LocalSet};

use crate::client::{self, Client, Place, Standing};
use crate::confirmation::Confirmation;
use crate::exchange::mirror::Mirroring;
use crate::http::view::RequestView;
use crate::load_report::LoadCounters;
use crate::options::Options;
use crate::pool::Pool;
use crate::pulse::Pulse;
use crate::snapshot::{InForce, LocalCluster, LocalSnapshot, Snapshot};
use crate::telemetry::access_log::Log;
use crate::telemetry::generation::Generations;
use crate::telemetry::metrics::Registry;
use crate::telemetry::record::Line;
use crate::telemetry::traffic::TrafficCounters;

/// How often idle pooled connections are looked at, and `Worker::coarse_now` is set.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long an idle client connection outlives the beginning of a drain. A busy keep-alive client sends its
/// next request, and is told to go, well within it; nobody should wait longer for a client that may never.
const DRAIN_IDLE: Duration = Duration::from_secs(5);

/// After a failed `accept`, as when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often the log says that connections are refused.
const REFUSALS_TOLD: Duration = Duration::from_secs(1);

/// What all workers of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) registry: Arc<Registry>,
    pub(crate) log: Option<Log>,
    /// Client connections of all workers.
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) draining: AtomicBool,
}

/// What a worker is told.
pub(crate) enum Command {
    /// Serve by this from now on. `sockets` are for listeners that are new.
    Serve {
        in_force: InForce,
        sockets: Vec<(SocketAddr, std::net::TcpListener)>,
        done: std::sync::mpsc::Sender<()>,
    },
    /// Answer requests that confirm from now on, or no more.
    Expect {
        confirmation: Option<Arc<Confirmation>>,
        done: std::sync::mpsc::Sender<()>,
    },
    /// Tell duplicates of the listening sockets.
    Sockets {
        done: std::sync::mpsc::Sender<std::io::Result<Vec<(SocketAddr, std::net::TcpListener)>>>,
    },
    /// Take no more connections and end when the last has ended.
    Drain,
}

/// A worker as its own tasks see it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) options: Options,
    pub(crate) http1: http1::Limits,
    pub(crate) rng: RefCell<Rng>,
    pub(crate) draining: Cell<bool>,
    /// While draining: when client connections that carry no request are closed. Until then a client that
    /// sends one is told to go by its answer.
    pub(crate) drain_idle_until: Cell<Option<Instant>>,
    /// The time at the last sweep: good enough for idle timeouts, and reading it costs nothing.
    pub(crate) coarse_now: Cell<Instant>,
    pub(crate) loads: Arc<LoadCounters>,
    pub(crate) traffic: Arc<TrafficCounters>,
    pub(crate) mirroring: Rc<Mirroring>,
    shared: Arc<Shared>,
    serving: RefCell<Serving>,
    confirmation: RefCell<Option<Arc<Confirmation>>>,
    generations: RefCell<Generations>,
    /// One or more for each address that is listened on.
    accepting: RefCell<HashMap<SocketAddr, Vec<Accepting>>>,
    connections: Cell<usize>,
    drain: Notify,
    ended: Notify,
}

/// What a worker serves by.
#[derive(Debug)]
struct Serving {
    base: Rc<LocalSnapshot>,
    canary: Option<LocalCanary>,
}

#[derive(Debug)]
struct LocalCanary {
    snapshot: Rc<LocalSnapshot>,
    /// What is drawn below it is the canary's.
    below: u64,
}

impl Serving {
    fn snapshots(&self) -> impl Iterator<Item = &Rc<LocalSnapshot>> {
        let canary = self.canary.iter().map(|canary| &canary.snapshot);
        std::iter::once(&self.base).chain(canary)
    }
}

impl LocalCanary {
    /// The snapshot that a request belongs to, then the other.
    fn draw<'s>(
        &'s self,
        base: &'s Rc<LocalSnapshot>,
        rng: &mut Rng,
    ) -> [&'s Rc<LocalSnapshot>; 2] {
        if rng.u64() < self.below {
            [&self.snapshot, base]
        } else {
            [base, &self.snapshot]
        }
    }
}

/// Runs a worker on this thread until it has drained. `seed` makes its random choices its own.
pub(crate) fn run(
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
    pulse: Arc<Pulse>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    seed: u64,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only a few file descriptors");
    let local = LocalSet::new();
    let mut generations = Generations::new(shared.registry.clone());
    let generation = generations.enter(&snapshot.generation);
    let serving = Serving {
        base: Rc::new(LocalSnapshot::join(snapshot, &[], generation)),
        canary: None,
    };
    let worker = Rc::new(Worker {
        http1: shared.options.limits.http1(),
        options: shared.options.clone(),
        rng: RefCell::new(Rng::seeded(seed)),
        draining: Cell::new(false),
        drain_idle_until: Cell::new(None),
        coarse_now: Cell::new(Instant::now()),
        loads: shared.registry.load_counters(),
        traffic: shared.registry.traffic_counters(),
        mirroring: Rc::default(),
        serving: RefCell::new(serving),
        confirmation: RefCell::default(),
        generations: RefCell::new(generations),
        shared,
        accepting: RefCell::default(),
        connections: Cell::new(0),
        drain: Notify::new(),
        ended: Notify::new(),
    });
    local.block_on(&runtime, async {
        tokio::task::spawn_local(pulse.beat());
        tokio::task::spawn_local(sweep(worker.clone()));
        while let Some(command) = commands.recv().await {
            match command {
                Command::Serve {
                    in_force,
                    sockets,
                    done,
                } => {
                    worker.serve_by(&in_force, sockets);
                    // Whoever waits may have given up.
                    done.send(()).ok();
                }
                Command::Expect { confirmation, done } => {
                    worker.confirmation.replace(confirmation);
                    done.send(()).ok();
                }
                Command::Sockets { done } => {
                    done.send(worker.sockets()).ok();
                }
                Command::Drain => break,
            }
        }
        worker.draining.set(true);
        let idle = DRAIN_IDLE.min(worker.options.limits.drain_timeout);
        worker.drain_idle_until.set(Some(Instant::now() + idle));
        worker.drain.notify_waiters();
        for accepting in worker.accepting.take().into_values().flatten() {
            accepting.stop.notify_one();
            // It can only have ended.
            drop(accepting.task.await);
        }
        while worker.connections.get() > 0 {
            worker.ended.notified().await;
        }
    });
}

impl Worker {
    /// The snapshot to serve a request by, held from its first byte to its last. With a canary each request is drawn
    /// anew; the other serves it where the one that was drawn would turn its connection away.
    pub(crate) fn snapshot_for(&self, client: &Client) -> Rc<LocalSnapshot> {
        let serving = self.serving.borrow();
        let Some(canary) = &serving.canary else {
            return serving.base.clone();
        };
        let drawn = canary.draw(&serving.base, &mut self.rng.borrow_mut());
        let serves = |snapshot: &&&Rc<LocalSnapshot>| {
            matches!(client.standing(snapshot), Standing::Served { .. })
        };
        // Where both turn it away, the base says how.
        let found = drawn.iter().find(serves);
        Rc::clone(found.unwrap_or(&&serving.base))
    }

    /// The snapshot to accept a connection by, and the listener's position in it.
    pub(crate) fn snapshot_at(&self, address: SocketAddr) -> Option<(Rc<LocalSnapshot>, usize)> {
        let serving = self.serving.borrow();
        let drawn = match &serving.canary {
            None => [&serving.base; 2],
            Some(canary) => canary.draw(&serving.base, &mut self.rng.borrow_mut()),
        };
        let found = |snapshot: &Rc<LocalSnapshot>| {
            let listener = snapshot.listener(address)?;
            Some((snapshot.clone(), listener))
        };
        drawn.into_iter().find_map(found)
    }

    /// The number of the newest snapshot.
    pub(crate) fn newest(&self) -> u64 {
        let serving = self.serving.borrow();
        let numbers = serving.snapshots().map(|snapshot| snapshot.shared.number);
        numbers.fold(0, u64::max)
    }

    /// The snapshot of that number, if it serves.
    pub(crate) fn numbered(&self, number: u64) -> Option<Rc<LocalSnapshot>> {
        let serving = self.serving.borrow();
        let mut snapshots = serving.snapshots();
        snapshots
            .find(|snapshot| snapshot.shared.number == number)
            .cloned()
    }

    /// The confirmation that is waited for.
    pub(crate) fn confirmation(&self) -> Option<Arc<Confirmation>> {
        self.confirmation.borrow().clone()
    }

    fn sockets(&self) -> std::io::Result<Vec<(SocketAddr, std::net::TcpListener)>> {
        let all = self.accepting.borrow();
        let sockets = all.iter().flat_map(|(address, accepting)| {
            accepting
                .iter()
                .map(|accepting| (*address, &accepting.socket))
        });
        sockets
            .map(|(address, socket)| Ok((address, SockRef::from(&**socket).try_clone()?.into())))
            .collect()
    }

    /// Ready once the worker drains.
    pub(crate) async fn drained(&self) {
        let notified = self.drain.notified();
        if !self.draining.get() {
            notified.await;
        }
    }

    /// What the access log wants to know of a request; `None` where there is no log.
    pub(crate) fn line(
        &self,
        snapshot: &LocalSnapshot,
        head: &impl RequestView,
        client: &Client,
        protocol: &'static str,
    ) -> Option<Box<Line>> {
        let mut line = self.new_line(snapshot, client)?;
        let agent = mesh::RequestHead::header(head, "user-agent");
        line.method = head.method().to_owned();
        line.authority = head.authority().to_owned();
        line.path = head.path_and_query().to_owned();
        line.protocol = protocol;
        line.user_agent = agent
            .map(|agent| String::from_utf8_lossy(&agent).into_owned())
            .unwrap_or_default();
        Some(line)
    }

    /// The same of a connection whose bytes go on as they are: dashes where there is no request.
    pub(crate) fn connection_line(
        &self,
        snapshot: &LocalSnapshot,
        client: &Client,
        server_name: Option<&str>,
    ) -> Option<Box<Line>> {
        let mut line = self.new_line(snapshot, client)?;
        for text in [
            &mut line.method,
            &mut line.authority,
            &mut line.path,
            &mut line.user_agent,
        ] {
            text.push('-');
        }
        line.server_name = server_name.map(str::to_owned);
        Some(line)
    }

    fn new_line(&self, snapshot: &LocalSnapshot, client: &Client) -> Option<Box<Line>> {
        let log = self.shared.log.as_ref()?;
        let sampled = log.sample <= 1 || self.rng.borrow_mut().below(log.sample) == 0;
        Some(Box::new(Line {
            log: log.clone(),
            sampled,
            peer: client.peer.to_string(),
            method: String::new(),
            authority: String::new(),
            server_name: None,
            path: String::new(),
            protocol: "-",
            user_agent: String::new(),
            route: String::new(),
            cluster: String::new(),
            upstream: String::new(),
            failure: String::new(),
            generation: snapshot.shared.generation.clone(),
        }))
    }

    fn serve_by(
        self: &Rc<Self>,
        in_force: &InForce,
        sockets: Vec<(SocketAddr, std::net::TcpListener)>,
    ) {
        let before: Vec<_> = self.serving.borrow().snapshots().cloned().collect();
        let join = |shared: &Arc<Snapshot>| {
            let generation = self.generations.borrow_mut().enter(&shared.generation);
            let known = before
                .iter()
                .find(|known| Arc::ptr_eq(&known.shared, shared));
            known.cloned().unwrap_or_else(|| {
                Rc::new(LocalSnapshot::join(shared.clone(), &before, generation))
            })
        };
        let serving = Serving {
            base: join(&in_force.base),
            canary: in_force.canary.as_ref().map(|canary| LocalCanary {
                snapshot: join(&canary.snapshot),
                // Saturates at the ends.
                below: (canary.share * u64::MAX as f64) as u64,
            }),
        };
        let addresses = in_force.addresses();
        let mut accepting = self.accepting.borrow_mut();
        accepting.retain(|address, accepting| {
            let stays = addresses.contains(address);
            if !stays {
                for accepting in accepting {
                    accepting.stop.notify_one();
                }
            }
            stays
        });
        self.serving.replace(serving);
        for (address, socket) in sockets {
            match TcpListener::from_std(socket) {
                Ok(socket) => {
                    let (socket, stop) = (Rc::new(socket), Rc::new(Notify::new()));
                    let task = accept(self.clone(), socket.clone(), address, stop.clone());
                    let task = tokio::task::spawn_local(task);
                    let all = accepting.entry(address).or_default();
                    all.push(Accepting { socket, task, stop });
                }
                Err(error) => tracing::error!(%address, %error, "socket can't be registered"),
            }
        }
    }
}

/// A listening socket's task.
#[derive(Debug)]
struct Accepting {
    socket: Rc<TcpListener>,
    task: JoinHandle<()>,
    stop: Rc<Notify>,
}

/// Accepts until told to stop. Closing a socket resets the connections that wait in its queue, so the last
/// ones are taken first.
async fn accept(
    worker: Rc<Worker>,
    socket: Rc<TcpListener>,
    address: SocketAddr,
    stop: Rc<Notify>,
) {
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            () = stop.notified() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // A client that gave up in the queue is nobody's trouble; being out of descriptors is.
                if error.kind() != std::io::ErrorKind::ConnectionAborted {
                    tracing::warn!(%address, %error, "accept failed; is the limit on open files reached?");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let limit = worker.options.limits.max_connections;
        let Some(place) = Place::take(&worker.shared.connections, limit) else {
            // Clients without end must not fill the log as well.
            if told.is_none_or(|told| told.elapsed() >= REFUSALS_TOLD) {
                tracing::warn!(%peer, limit, "connections are refused: --max-connections is reached");
                told = Some(Instant::now());
            }
            continue;
        };
        worker.connections.set(worker.connections.get() + 1);
        let counted = Counted(worker.clone());
        tokio::task::spawn_local(async move {
            client::serve(counted.0.clone(), stream, peer, address, place).await;
            drop(counted);
        });
    }
}

/// A connection counted by its worker.
struct Counted(Rc<Worker>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.ended.notify_one();
    }
}

async fn sweep(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        worker.coarse_now.set(now);
        sweep_pools(&worker.serving.borrow(), now);
    }
}

/// Closes connections that nobody needs. The canary's clusters may share a pool with the base's: what leads to an
/// endpoint of either stays.
fn sweep_pools(serving: &Serving, now: Instant) {
    let mut pools: HashMap<*const Pool, SmallVec<[&LocalCluster; 2]>> = HashMap::new();
    for cluster in serving.snapshots().flat_map(|snapshot| snapshot.clusters()) {
        if !cluster.pool.is_empty() {
            let sharing = pools.entry(Rc::as_ptr(&cluster.pool)).or_default();
            sharing.push(cluster);
        }
    }
    for clusters in pools.values() {
        let timeout = clusters[0].shared.config.connection_pool.idle_timeout;
        let members: SmallVec<[_; 2]> = clusters
            .iter()
            .map(|cluster| cluster.shared.members())
            .collect();
        clusters[0].pool.sweep(now, timeout, |id| {
            members.iter().any(|members| members.ids.contains(&id))
        });
    }
}
