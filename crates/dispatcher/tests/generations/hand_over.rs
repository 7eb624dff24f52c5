//! Listening sockets that go from one dispatcher to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dispatcher::{Dispatcher, Inherited};

use crate::world::{Client, answering, forwarding, options, start, upstream};

/// Connects all the time while `change` runs, each connection for one request; returns how many there were.
fn under_connections<T>(port: u16, change: impl FnOnce() -> T) -> (T, u64) {
    let (ends, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (ends, answered) = (ends.clone(), answered.clone());
            std::thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    assert_eq!(Client::connect(port).get("/").status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let enough = |more| {
        let until = answered.load(Ordering::Relaxed) + more;
        while answered.load(Ordering::Relaxed) < until {
            assert!(!clients.iter().any(|client| client.is_finished()));
            std::thread::yield_now();
        }
    };
    enough(100);
    let changed = change();
    enough(100);
    ends.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("every request is answered");
    }
    (changed, answered.load(Ordering::Relaxed))
}

#[test]
fn no_connection_is_lost_however_many_workers_there_are() {
    let (mut dispatcher, port) = start(2);
    for workers in [2, 3, 1, 2] {
        let ((), connections) = under_connections(port, || {
            let sockets = dispatcher.sockets().expect("it serves");
            let inherited = Inherited {
                sockets: sockets.into_iter().map(|(_, socket)| socket).collect(),
                learned: Some(dispatcher.learned()),
            };
            let mesh = answering("a", 200, &[port]);
            let next = Dispatcher::start(options(workers), mesh, "a", inherited);
            let old = std::mem::replace(&mut dispatcher, next.expect("starts"));
            assert_eq!(old.drain(), 0);
        });
        assert!(connections >= 200);
    }
}

#[test]
fn what_was_learned_goes_along() {
    let (dispatcher, port) = start(1);
    let upstreams = [upstream(200), upstream(200)];
    let mesh = forwarding(port, upstreams, "");
    dispatcher.apply(mesh.clone(), "a").unwrap();
    let mut client = Client::connect(port);
    for _ in 0..50 {
        assert_eq!(client.get("/").status, 200);
    }
    drop(client);
    let latencies = |dispatcher: &Dispatcher| -> Vec<Option<f64>> {
        let clusters = dispatcher.clusters();
        let endpoints = clusters.iter().flat_map(|cluster| &cluster.endpoints);
        endpoints.map(|endpoint| endpoint.latency_ms).collect()
    };
    let mut host = 1;
    let mut start = |learned| {
        let inherited = Inherited {
            learned,
            ..Inherited::default()
        };
        let mut options = options(1);
        // Only what is known counts here, not who listens: each has the port at an address of its own.
        host += 1;
        options.bind = [127, 0, 0, host].into();
        let started = Dispatcher::start(options, mesh.clone(), "a", inherited);
        started.map(|started| latencies(&started))
    };
    let known = latencies(&dispatcher);
    assert!(known.iter().all(Option::is_some), "{known:?}");
    let learned = dispatcher.learned();
    dispatcher.drain();
    assert_eq!(start(Some(learned)).expect("starts"), known);
    // Anything else is no reason not to start.
    for odd in [serde_json::json!("?"), serde_json::json!({ "x": 1 })] {
        assert_eq!(start(Some(odd)).expect("starts"), [None, None]);
    }
}
