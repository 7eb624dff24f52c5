//! A share of requests by another generation.

use crate::world::{Client, answering, forwarding, port_of, socket, start, tallies, upstream};

const REQUESTS: u64 = 10_000;

/// 10 % of the requests, five standard deviations of the binomial distribution wide.
const SHARE: std::ops::RangeInclusive<u64> = 850..=1150;

#[test]
fn a_tenth_of_requests_is_a_tenth_and_each_is_wholly_on_one() {
    let (dispatcher, port) = start(2);
    let canary = answering("b", 503, &[port]);
    dispatcher.apply_canary(canary, "b", 0.1).unwrap();
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(port)).collect();
    let mut by_canary = 0;
    for number in 0..REQUESTS {
        let answer = clients[number as usize % 4].get("/");
        let name = answer.generation.expect("each has a header");
        assert_eq!(answer.body, name);
        assert_eq!(answer.status, if name == "b" { 503 } else { 200 });
        by_canary += u64::from(name == "b");
    }
    assert!(SHARE.contains(&by_canary), "{by_canary} of {REQUESTS}");
    let tallies = tallies(&dispatcher, REQUESTS);
    let shown: Vec<_> = tallies[..2]
        .iter()
        .map(|tally| {
            (
                &*tally.generation,
                tally.canary,
                tally.requests,
                tally.failures,
            )
        })
        .collect();
    let by_base = REQUESTS - by_canary;
    assert_eq!(
        shown,
        [("a", false, by_base, 0), ("b", true, by_canary, by_canary)]
    );
    for tally in &tallies[..2] {
        assert_eq!(tally.latency.iter().sum::<u64>(), tally.requests);
        assert_eq!(tally.latency.len(), dispatcher::latency_bounds().len() + 1);
    }
    let metrics = dispatcher.inspector().metrics();
    for (name, code, count) in [("a", 200, by_base), ("b", 503, by_canary)] {
        let found = metrics.lines().any(|line| {
            line.starts_with(&format!("istio_requests_total{{generation=\"{name}\","))
                && line.contains(&format!("response_code=\"{code}\""))
                && line.ends_with(&format!(" {count}"))
        });
        assert!(found, "{name}: {metrics}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.contains("{generation=\""), "{line}");
    }
    assert!(dispatcher.busy() > 0.0);
    assert_eq!(dispatcher.heartbeats().len(), 3);
}

#[test]
fn a_tenth_of_the_streams_of_http_2_too() {
    let (dispatcher, port) = start(2);
    let canary = answering("b", 200, &[port]);
    dispatcher.apply_canary(canary, "b", 0.1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let by_canary = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        let (sender, connection) = h2::client::handshake(stream.unwrap()).await.unwrap();
        let driving = tokio::spawn(connection);
        let mut by_canary = 0;
        for _ in 0..REQUESTS {
            let uri = format!("http://a.internal:{port}/");
            let request = http::Request::get(uri).body(()).unwrap();
            let mut sender = sender.clone().ready().await.unwrap();
            let (response, _) = sender.send_request(request, true).unwrap();
            let response = response.await.unwrap();
            by_canary += u64::from(response.headers()["x-generation"] == "b");
        }
        driving.abort();
        by_canary
    });
    assert!(SHARE.contains(&by_canary), "{by_canary} of {REQUESTS}");
    let tallies = tallies(&dispatcher, REQUESTS);
    assert_eq!(tallies[1].requests, by_canary);
}

#[test]
fn a_canary_is_promoted_as_it_is_or_leaves_nothing() {
    let (dispatcher, port) = start(2);
    let canary = answering("b", 200, &[port]);
    let mut client = Client::connect(port);
    let applied = dispatcher.apply_canary(canary.clone(), "b", 1.0).unwrap();
    assert_eq!(dispatcher.canary(), Some(("b".to_owned(), 1.0)));
    for _ in 0..20 {
        assert_eq!(client.get("/").body, "b");
    }
    assert!(dispatcher.drop_canary());
    assert!(!dispatcher.drop_canary());
    for _ in 0..20 {
        assert_eq!(client.get("/").body, "a");
    }
    let again = dispatcher.apply_canary(canary.clone(), "b", 0.5).unwrap();
    let other_share = dispatcher.apply_canary(canary.clone(), "b", 0.0).unwrap();
    assert_eq!(other_share.number, again.number);
    assert!(again.number > applied.number);
    for _ in 0..20 {
        assert_eq!(client.get("/").body, "a");
    }
    let promoted = dispatcher.apply(canary, "b").unwrap();
    assert_eq!(promoted.number, again.number);
    assert_eq!(
        (dispatcher.generation(), dispatcher.canary()),
        ("b".to_owned(), None)
    );
    for _ in 0..20 {
        assert_eq!(client.get("/").body, "b");
    }
}

#[test]
fn a_listener_of_either_is_open_and_served_by_who_has_it() {
    let (dispatcher, port) = start(1);
    // Ours until just before it is used; another's in between is told by `apply_canary`.
    let (added, canary) = loop {
        let free = socket();
        let added = port_of(&free);
        drop(free);
        let canary = answering("b", 200, &[added]);
        if let Ok(applied) = dispatcher.apply_canary(canary.clone(), "b", 0.5) {
            assert_eq!(applied.opened.len(), 1);
            assert_eq!(applied.closed, []);
            break (added, canary);
        }
    };
    assert_eq!(dispatcher.listeners().len(), 2);
    let (mut old, mut new) = (Client::connect(port), Client::connect(added));
    for _ in 0..50 {
        assert_eq!(old.get("/").body, "a");
        assert_eq!(new.get("/").body, "b");
    }
    let applied = dispatcher.apply(canary, "b").unwrap();
    assert_eq!(applied.closed.len(), 1);
    // No longer configured, but told so.
    assert_eq!(old.get("/").status, 404);
    assert_eq!(new.get("/").body, "b");
}

#[test]
fn a_canary_puts_no_endpoint_aside_for_others() {
    let (dispatcher, port) = start(1);
    let upstreams = [upstream(500), upstream(500)];
    let base = forwarding(port, upstreams, "");
    dispatcher.apply(base, "a").unwrap();
    let ejecting = "outlierDetection: { consecutive5xxErrors: 1, maxEjectionPercent: 100, baseEjectionTime: 300s }";
    let canary = forwarding(port, upstreams, ejecting);
    dispatcher.apply_canary(canary, "b", 0.5).unwrap();
    let mut client = Client::connect(port);
    let clusters = || {
        let clusters = dispatcher.clusters();
        let of = |generation: &str| {
            let mut found = clusters.iter().filter(|one| one.generation == generation);
            found.find(|one| one.name.contains("up.internal")).cloned()
        };
        (of("a").expect("the base's"), of("b").expect("the canary's"))
    };
    // The canary's have all been asked once by then, but for one chance in 2^100.
    for _ in 0..200 {
        assert!(client.get("/").status >= 500);
    }
    let (base, canary) = clusters();
    assert!(canary.endpoints.iter().all(|endpoint| endpoint.ejected));
    assert!(!base.endpoints.iter().any(|endpoint| endpoint.ejected));
    dispatcher.drop_canary();
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 500);
    }
}

#[test]
fn clusters_that_only_differ_otherwise_share_what_they_learn() {
    let (dispatcher, port) = start(1);
    let upstreams = [upstream(200), upstream(200)];
    let base = forwarding(port, upstreams, "");
    dispatcher.apply(base, "a").unwrap();
    let canary = forwarding(
        port,
        upstreams,
        "connectionPool: { tcp: { maxConnections: 77 } }",
    );
    dispatcher.apply_canary(canary, "b", 0.5).unwrap();
    let mut client = Client::connect(port);
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 200);
    }
    let requests = |generation: &str| -> u64 {
        let clusters = dispatcher.clusters();
        let of = clusters.iter().filter(|one| one.generation == generation);
        of.flat_map(|one| &one.endpoints)
            .map(|one| one.requests)
            .sum()
    };
    assert_eq!((requests("a"), requests("b")), (100, 100));
}
