//! Endpoints known by name, with a name server of the test's own.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use support::wire::{Wire, WireUpstream};
use support::{Dalbi, Folder, Site, free_port, http, until};

/// A name server that answers what a test tells it to, for a second each.
#[derive(Clone)]
struct NameServer {
    address: SocketAddr,
    known: Arc<Mutex<HashMap<&'static str, Vec<IpAddr>>>>,
    questions: Arc<AtomicUsize>,
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

impl NameServer {
    /// On a thread of its own: tests wait for dalbi's start without giving way to others.
    fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = Self {
            address: socket.local_addr().unwrap(),
            known: Arc::default(),
            questions: Arc::default(),
        };
        let answering = server.clone();
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut question) {
                let answer = answering.answer(&question[..length]);
                // Whoever asked may be gone.
                let _sent = socket.send_to(&answer, peer);
            }
        });
        server
    }

    fn set(&self, name: &'static str, addresses: &[IpAddr]) {
        self.known.lock().unwrap().insert(name, addresses.to_vec());
    }

    fn forget(&self, name: &'static str) {
        self.known.lock().unwrap().remove(name);
    }

    fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }

    /// RFC 1035: the header, the question again, and an address record for each that is known.
    fn answer(&self, question: &[u8]) -> Vec<u8> {
        let (mut name, mut at) = (String::new(), 12);
        while question[at] > 0 {
            let end = at + 1 + usize::from(question[at]);
            name.push_str(std::str::from_utf8(&question[at + 1..end]).unwrap());
            name.push('.');
            at = end;
        }
        let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
        let known = self.known.lock().unwrap();
        let name = name.to_ascii_lowercase();
        let found = known.get(name.trim_end_matches('.'));
        let is_ours = name == "app.test.";
        self.questions
            .fetch_add(usize::from(is_ours && kind == A), Ordering::Relaxed);
        let records: Vec<Vec<u8>> = found
            .into_iter()
            .flatten()
            .filter_map(|address| match (address, kind) {
                (IpAddr::V4(address), A) => Some(address.octets().to_vec()),
                (IpAddr::V6(address), AAAA) => Some(address.octets().to_vec()),
                _ => None,
            })
            .collect();
        // The machine's search domains may be tried as well.
        let code = match (found, is_ours) {
            (Some(_), _) => 0,
            (None, true) => SERVFAIL,
            (None, false) => NXDOMAIN,
        };
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        answer.extend(&question[12..at + 5]);
        for record in records {
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 1, 0, record.len() as u8]);
            answer.extend(record);
        }
        answer
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A site whose one endpoint is `app.test`, of this `resolution`.
fn by_name(server: &NameServer, port: u16, resolution: &str) -> (Dalbi, Folder) {
    let site = Site::to(&[SocketAddr::from((Ipv4Addr::LOCALHOST, port))]).by_name();
    let documents = site.documents().replace("localhost", "app.test");
    let documents = documents.replace("resolution: DNS", &format!("resolution: {resolution}"));
    let folder = Folder::new();
    folder.write("site.yaml", &documents);
    let address = server.address.to_string();
    let arguments = ["--response-flags", "--dns-server", &address];
    (Dalbi::run(folder.path(), &arguments), folder)
}

/// The endpoints that dalbi knows now.
async fn endpoints(dalbi: &Dalbi) -> Vec<String> {
    let clusters = http::get(dalbi.admin(), "/clusters?format=json")
        .await
        .json();
    let clusters = clusters.as_array().unwrap().iter();
    let all = clusters.flat_map(|cluster| cluster["endpoints"].as_array().unwrap().clone());
    all.map(|endpoint| endpoint["address"].as_str().unwrap().to_owned())
        .collect()
}

fn at(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

#[tokio::test]
async fn endpoints_follow_their_name() {
    let server = NameServer::start();
    let upstream = WireUpstream::answering(OK).await;
    let port = upstream.address().port();
    server.set("app.test", &[at(1)]);
    let (dalbi, _folder) = by_name(&server, port, "DNS");
    // What is known before the start is served at once.
    assert_eq!(http::get(dalbi.address(8080), "/").await.status(), 200);
    let mut expected = vec![format!("127.0.0.1:{port}")];
    assert_eq!(endpoints(&dalbi).await, expected);

    // Of both kinds, in any order.
    let v6 = IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]);
    server.set("app.test", &[at(7), v6, at(1)]);
    expected.push(format!("127.0.0.7:{port}"));
    expected.push(format!("[::1]:{port}"));
    until("all are known", async || {
        endpoints(&dalbi).await == expected
    })
    .await;

    // A failure is no news.
    server.forget("app.test");
    let asked = server.questions();
    until("it was asked again", async || {
        server.questions() > asked + 1
    })
    .await;
    assert_eq!(endpoints(&dalbi).await, expected);

    server.set("app.test", &[at(1)]);
    expected.truncate(1);
    until("only one is left", async || {
        endpoints(&dalbi).await == expected
    })
    .await;
}

#[tokio::test]
async fn a_name_may_stand_for_its_first_address_only() {
    let server = NameServer::start();
    let port = free_port();
    server.set("app.test", &[at(9), at(3), at(5)]);
    let (dalbi, _folder) = by_name(&server, port, "DNS_ROUND_ROBIN");
    assert_eq!(endpoints(&dalbi).await, [format!("127.0.0.9:{port}")]);
    server.set("app.test", &[at(3), at(9)]);
    let moved = [format!("127.0.0.3:{port}")];
    until("it moved", async || endpoints(&dalbi).await == moved).await;
}

#[tokio::test]
async fn a_name_that_is_not_known_yet_is_waited_for() {
    let server = NameServer::start();
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        while wire.head().await.is_some() {
            wire.send(OK).await;
        }
    })
    .await;
    let (dalbi, _folder) = by_name(&server, upstream.address().port(), "DNS");
    let answer = http::get(dalbi.address(8080), "/").await;
    assert_eq!(answer.header("x-dalbi-response-flags"), "UH");
    server.set("app.test", &[at(1)]);
    until("it is known", async || {
        http::get(dalbi.address(8080), "/").await.status() == 200
    })
    .await;
}
