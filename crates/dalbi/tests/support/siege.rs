//! A dispatcher with one worker that is attacked while well-behaved clients go on.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::frames::{self, Counts, Header};
use super::http::{Connection, request, send_h2};
use super::wire::{Wire, WireUpstream, in_time};
use super::{Folder, PATIENCE, Process, free_offset};

/// The most CPU that an attack may cost.
const CPU: Duration = Duration::from_secs(1);

/// The most memory that an attack may cost: what a few connections with 100 streams each may hold.
const MEMORY_KIB: u64 = 32 * 1024;

/// The longest that another client may wait meanwhile. The whole attack costs less CPU than that.
const SLOW: Duration = Duration::from_secs(1);

/// How often each well-behaved client asks.
const PERIOD: Duration = Duration::from_millis(10);

/// Bytes after which an attacker that nobody stops gives up.
const ENOUGH_BYTES: usize = 32 * 1024 * 1024;

/// Attacks one at a time: their figures are to be their own.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// See above. Paths below `/held` are never answered, `/large/N` is N bytes, all others are echoed.
pub struct Siege {
    process: Process,
    address: SocketAddr,
    upstream: Arc<WireUpstream>,
    stop: Arc<AtomicBool>,
    bystanders: Vec<JoinHandle<Duration>>,
    _folder: Folder,
    _turn: MutexGuard<'static, ()>,
}

/// How an attack ended.
#[derive(Debug)]
pub struct Cut {
    /// The reason given in a GOAWAY, if one came.
    pub goaway: Option<u32>,
    /// Frames that came back.
    pub received: Counts,
}

/// What the process has used up so far.
#[derive(Debug, Clone, Copy)]
struct Used {
    cpu: Duration,
    memory_kib: u64,
}

impl Siege {
    /// Serves one echoing endpoint with further arguments, and lets well-behaved clients begin.
    pub async fn lay(arguments: &[&str]) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let upstream = WireUpstream::start(echo).await;
        Self::lay_before(upstream, None, arguments, turn).await
    }

    /// The same with a service of one's own for `/hostile`, which `script` plays the endpoint of.
    pub async fn lay_with_endpoint<F, Fut>(
        protocol: &'static str,
        arguments: &[&str],
        script: F,
    ) -> Self
    where
        F: Fn(usize, Wire) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let turn = ONE_AT_A_TIME.lock().await;
        let upstream = WireUpstream::start(echo).await;
        let hostile = WireUpstream::start(script).await;
        let hostile = Some((hostile.address(), protocol));
        Self::lay_before(upstream, hostile, arguments, turn).await
    }

    async fn lay_before(
        upstream: WireUpstream,
        hostile: Option<(SocketAddr, &str)>,
        arguments: &[&str],
        turn: MutexGuard<'static, ()>,
    ) -> Self {
        let folder = Folder::new();
        folder.write("site.yaml", &documents(upstream.address(), hostile));
        let offset = free_offset(&[8080, 15001]);
        let offset_text = offset.to_string();
        let common = [
            "run",
            folder.path().to_str().unwrap(),
            "--port-offset",
            &offset_text,
            "--admin",
            "off",
            "--bind",
            "127.0.0.1",
            "--workers",
            "1",
            "--response-flags",
        ];
        let process = Process::start(&[&common, arguments].concat());
        process.stdout_line("`ready`", |line| (line == "ready").then_some(()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080 + offset));
        let stop = Arc::new(AtomicBool::new(false));
        // Everything is allocated and connected once before anything is measured.
        for is_h2 in [false, true] {
            bystander(address, is_h2, Arc::new(AtomicBool::new(true))).await;
        }
        let bystanders = [false, true]
            .map(|is_h2| tokio::spawn(bystander(address, is_h2, stop.clone())))
            .into();
        Self {
            process,
            address,
            upstream: Arc::new(upstream),
            stop,
            bystanders,
            _folder: folder,
            _turn: turn,
        }
    }

    /// Where the dispatcher listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The echoing endpoint, to ask it afterwards what it was sent.
    pub fn upstream(&self) -> Arc<WireUpstream> {
        self.upstream.clone()
    }

    /// Tells at any time how many descriptors the process has open.
    pub fn descriptors(&self) -> impl Fn() -> usize + use<> {
        let process = self.process.pid().as_raw_nonzero();
        move || fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
    }

    /// Lets `attack` run and ends the siege: it cost little, and nobody else noticed.
    pub async fn during<T>(self, what: &str, attack: impl Future<Output = T>) -> T {
        let before = self.used();
        let result = in_time(what, attack).await;
        let after = self.used();
        self.stop.store(true, Ordering::Relaxed);
        let mut slowest = Duration::ZERO;
        for bystander in self.bystanders {
            slowest = slowest.max(bystander.await.expect("a bystander's request failed"));
        }
        let cpu = after.cpu - before.cpu;
        let grown_kib = after.memory_kib.saturating_sub(before.memory_kib);
        println!("{what}: {cpu:?} CPU, {grown_kib} KiB more, others waited {slowest:?} at most");
        assert!(cpu < CPU, "{what} cost {cpu:?} of CPU");
        assert!(grown_kib < MEMORY_KIB, "{what} cost {grown_kib} KiB");
        assert!(slowest < SLOW, "{what}: another client waited {slowest:?}");
        result
    }

    /// Sends `opening` and then frames without end, which `next` makes, until the connection is cut off.
    pub async fn flood(
        self,
        what: &str,
        opening: Vec<u8>,
        next: impl FnMut(u32) -> Vec<u8> + Send + 'static,
    ) -> Cut {
        let address = self.address;
        self.during(what, attack(address, opening, false, next))
            .await
    }

    /// The same, but each batch of frames is sent only when the one before has been worked on.
    pub async fn flood_in_step(
        self,
        what: &str,
        opening: Vec<u8>,
        next: impl FnMut(u32) -> Vec<u8> + Send + 'static,
    ) -> Cut {
        let address = self.address;
        self.during(what, attack(address, opening, true, next))
            .await
    }

    fn used(&self) -> Used {
        let process = self.process.pid().as_raw_nonzero();
        let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        // Nanoseconds on a CPU; the ticks of `stat` would miss most of what takes less than 10 ms.
        let spent = threads.map(|thread| {
            let schedstat = thread.unwrap().path().join("schedstat");
            let schedstat = fs::read_to_string(schedstat).unwrap();
            schedstat.split(' ').next().unwrap().parse::<u64>().unwrap()
        });
        Used {
            cpu: Duration::from_nanos(spent.sum()),
            memory_kib: self.process.peak_kib(),
        }
    }
}

/// Attacks from threads of their own, so that the well-behaved clients are not held up on our side.
async fn attack(
    address: SocketAddr,
    opening: Vec<u8>,
    in_step: bool,
    mut next: impl FnMut(u32) -> Vec<u8> + Send + 'static,
) -> Cut {
    let attacking = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let received = Counts::default();
        let (told, done) = std::sync::mpsc::channel();
        let reader = {
            let (stream, received) = (stream.try_clone().unwrap(), received.clone());
            std::thread::spawn(move || read(stream, &received, &told))
        };
        let mut sent = 0;
        let hello = [
            frames::PREFACE,
            &frames::frame(frames::SETTINGS, 0, 0, &[]),
            &opening,
        ];
        let mut bytes = hello.concat();
        for number in 0.. {
            if in_step {
                bytes.extend(frames::frame(frames::PING, 0, 0, b"in step!"));
            }
            sent += bytes.len();
            if stream.write_all(&bytes).is_err() || sent > ENOUGH_BYTES {
                break;
            }
            // Ends when the reader does.
            if in_step && done.recv().is_err() {
                break;
            }
            bytes = next(number);
        }
        let goaway = reader.join().unwrap();
        stream.shutdown(Shutdown::Both).ok();
        Cut { goaway, received }
    };
    tokio::task::spawn_blocking(attacking).await.unwrap()
}

/// Reads frames until the connection ends; returns a GOAWAY's reason.
fn read(
    mut stream: TcpStream,
    received: &Counts,
    told: &std::sync::mpsc::Sender<()>,
) -> Option<u32> {
    let mut goaway = None;
    let mut head = [0; 9];
    let mut payload = Vec::new();
    loop {
        match stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {
                panic!("the connection was not cut off in {PATIENCE:?}")
            }
            Err(_) => return goaway,
        }
        let header = Header::parse(&head);
        payload.resize(header.length, 0);
        if stream.read_exact(&mut payload).is_err() {
            return goaway;
        }
        received.add(header.kind);
        match header.kind {
            frames::GOAWAY => goaway = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
            // The attacker may have stopped.
            frames::PING if header.flags & frames::ACK != 0 => drop(told.send(())),
            _ => {}
        }
    }
}

/// Asks again and again and checks every answer; returns how long the slowest took.
async fn bystander(address: SocketAddr, is_h2: bool, stop: Arc<AtomicBool>) -> Duration {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept = Connection::open(address).await.unwrap();
    let mut slowest = Duration::ZERO;
    for number in 0.. {
        ticks.tick().await;
        let path = format!("/fine/{is_h2}/{number}");
        let asked = Instant::now();
        let request = request("GET", &path, &[]);
        let answer = if is_h2 {
            send_h2(address, request).await
        } else {
            kept.send(request).await.unwrap()
        };
        slowest = slowest.max(asked.elapsed());
        assert_eq!((answer.status(), answer.text()), (200, path.as_str()));
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    slowest
}

/// A gateway before the echoing endpoint and, at `/hostile`, another.
fn documents(echo: SocketAddr, hostile: Option<(SocketAddr, &str)>) -> String {
    let service = |name: &str, endpoint: SocketAddr, protocol: &str| {
        let (address, port) = (endpoint.ip(), endpoint.port());
        format!(
            "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.internal]
  resolution: STATIC
  location: MESH_INTERNAL
  ports:
  - {{number: 80, name: main, protocol: {protocol}}}
  endpoints:
  - {{address: {address}, ports: {{main: {port}}}}}
"
        )
    };
    let rule = "{match: [{uri: {prefix: /hostile}}], retries: {attempts: 0}, \
                route: [{destination: {host: hostile.internal}}]}";
    let (rule, other) = match hostile {
        Some((endpoint, protocol)) => (
            format!("  - {rule}\n"),
            service("hostile", endpoint, protocol),
        ),
        None => Default::default(),
    };
    let echo = service("echo", echo, "HTTP");
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gate}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - {{port: {{number: 8080, name: http, protocol: HTTP}}, hosts: ['*']}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: all}}
spec:
  hosts: ['*']
  gateways: [gate]
  http:
{rule}  - {{match: [{{uri: {{prefix: /direct}}}}], directResponse: {{status: 200, body: {{string: '{text}'}}}}}}
  - {{route: [{{destination: {{host: echo.internal}}}}]}}
{echo}{other}",
        text = "x".repeat(100_000),
    )
}

/// The endpoint.
async fn echo(_: usize, mut wire: Wire) {
    while let Some(head) = wire.head().await {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        if path.starts_with("/held") {
            while wire.more().await {}
            return;
        }
        if path.starts_with("/unread") {
            return std::future::pending().await;
        }
        if wire.body(&head).await.is_none() {
            return;
        }
        if let Some(size) = path.strip_prefix("/large/") {
            let size = size.parse().unwrap();
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"))
                .await;
            let piece = vec![b'x'; 64 * 1024];
            let mut left: usize = size;
            while left > 0 {
                let count = left.min(piece.len());
                if !wire.send(&piece[..count]).await {
                    return;
                }
                left -= count;
            }
            continue;
        }
        let length = path.len();
        wire.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{path}"
        ))
        .await;
    }
}
