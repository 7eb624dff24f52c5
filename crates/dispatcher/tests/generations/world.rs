//! A dispatcher on a free port, and clients of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use dispatcher::{Dispatcher, Inherited, Limits, Options, Tally};
use mesh::{ListenerKind, Mesh, SourceFile};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket on a port that nobody else has.
pub(crate) fn socket() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free")
}

pub(crate) fn port_of(socket: &TcpListener) -> u16 {
    socket.local_addr().expect("it is bound").port()
}

pub(crate) fn options(workers: usize) -> Options {
    Options {
        workers,
        bind: Ipv4Addr::LOCALHOST.into(),
        limits: Limits {
            drain_timeout: PATIENCE,
            ..Limits::default()
        },
        ..Options::default()
    }
}

/// A generation that answers everything on `ports` with this status and its name, in a header too.
pub(crate) fn answering(name: &str, status: u16, ports: &[u16]) -> Arc<Mesh> {
    let servers: String = ports
        .iter()
        .map(|port| {
            format!(
                "    - port: {{ number: {port}, name: http-{port}, protocol: HTTP }}\n      hosts: ['*']\n"
            )
        })
        .collect();
    mesh_of(&format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{ name: door }}\nspec:\n  servers:\n{servers}\
         ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{ name: all }}\nspec:\n  \
         hosts: ['*']\n  gateways: [door]\n  http:\n    - directResponse: {{ status: {status}, body: {{ string: {name} }} }}\n      \
         headers: {{ response: {{ set: {{ x-generation: {name} }} }} }}\n"
    ))
}

pub(crate) fn mesh_of(documents: &str) -> Arc<Mesh> {
    let file = SourceFile {
        path: "test.yaml".into(),
        text: documents.into(),
    };
    let loaded = mesh::load(&[file], &mesh::Options::default());
    let mut mesh = loaded
        .mesh
        .unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics));
    mesh.listeners
        .retain(|listener| listener.kind == ListenerKind::Gateway);
    Arc::new(mesh)
}

/// Serves on a port that nobody else has: all of it answered by generation `a`.
pub(crate) fn start(workers: usize) -> (Dispatcher, u16) {
    let socket = socket();
    let port = port_of(&socket);
    let inherited = Inherited {
        sockets: vec![socket],
        learned: None,
    };
    let mesh = answering("a", 200, &[port]);
    let dispatcher = Dispatcher::start(options(workers), mesh, "a", inherited);
    (dispatcher.expect("starts"), port)
}

/// A keep-alive connection over HTTP/1.1.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) generation: Option<String>,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let stream = stream.expect("someone listens");
        let set = stream.set_read_timeout(Some(PATIENCE));
        set.expect("not zero");
        stream.set_nodelay(true).expect("it is TCP");
        Self {
            reader: BufReader::new(stream),
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        let head = format!("GET {path} HTTP/1.1\r\nhost: a.internal\r\n\r\n");
        let sent = self.reader.get_mut().write_all(head.as_bytes());
        sent.expect("the connection is open");
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("an answer");
        let status = line.split(' ').nth(1).expect("a status line");
        let status = status.parse().expect("a status");
        let (mut length, mut generation) = (0, None);
        loop {
            line.clear();
            self.reader.read_line(&mut line).expect("a field");
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().expect("a length"),
                "x-generation" => generation = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).expect("a body");
        Answer {
            status,
            generation,
            body: String::from_utf8(body).expect("text"),
        }
    }
}

/// The tallies once they tell of `requests` requests in all: the last is counted just after its answer is sent.
pub(crate) fn tallies(dispatcher: &Dispatcher, requests: u64) -> Vec<Tally> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let tallies = dispatcher.tallies();
        let all: u64 = tallies.iter().map(|tally| tally.requests).sum();
        if all == requests {
            return tallies;
        }
        assert!(
            all < requests && std::time::Instant::now() < deadline,
            "{all}"
        );
        std::thread::yield_now();
    }
}

/// An upstream that answers every request with this status, without a body. Returns its port.
pub(crate) fn upstream(status: u16) -> u16 {
    let socket = socket();
    let port = port_of(&socket);
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            std::thread::spawn(move || answer_all(stream, status));
        }
    });
    port
}

fn answer_all(stream: TcpStream, status: u16) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|len| len > 0) {
        if line == "\r\n" {
            let answer = format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n");
            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        line.clear();
    }
}

/// Sends everything on `port` to two upstreams; `policy` goes into their service's `trafficPolicy`.
pub(crate) fn forwarding(port: u16, upstreams: [u16; 2], policy: &str) -> Arc<Mesh> {
    let [first, second] = upstreams;
    mesh_of(&format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{ name: door }}\nspec:\n  servers:\n    \
         - port: {{ number: {port}, name: http, protocol: HTTP }}\n      hosts: ['*']\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{ name: all }}\nspec:\n  \
         hosts: ['*']\n  gateways: [door]\n  http:\n    - route: [{{ destination: {{ host: up.internal }} }}]\n      \
         retries: {{ attempts: 0 }}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{ name: up }}\nspec:\n  \
         hosts: [up.internal]\n  resolution: STATIC\n  location: MESH_INTERNAL\n  \
         ports: [{{ number: 80, name: http, protocol: HTTP }}]\n  endpoints:\n    \
         - {{ address: 127.0.0.1, ports: {{ http: {first} }} }}\n    \
         - {{ address: 127.0.0.1, ports: {{ http: {second} }} }}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{ name: up }}\nspec:\n  \
         host: up.internal\n  trafficPolicy: {{ {policy} }}\n"
    ))
}
