//! The load generator against the test server, in one process.

use super::*;
use crate::upstream::{self, Behaviour, Listener, Upstream};

fn plan(target: SocketAddr) -> Plan {
    Plan {
        target,
        authority: "test".to_owned(),
        paths: vec!["/".to_owned()],
        rate_per_s: 2000.0,
        duration: Some(Duration::from_millis(200)),
        timeout: Duration::from_secs(10),
        max_outstanding: 10_000,
        seed: 5,
    }
}

/// Starts an upstream on a thread that ends with the test process.
fn upstream(behaviour: Behaviour) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
            tell.send(listener.address).unwrap();
            upstream::serve(listener, Arc::new(Upstream::new(behaviour)), None).await;
        });
    });
    told.recv().unwrap()
}

fn run(plan: Plan) -> recorder::Window {
    let load = Load::start(plan).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(load.finished());
    load.recorder().total()
}

#[test]
fn every_scheduled_request_is_counted_once() {
    let due = Schedule::new(2000.0, Some(Duration::from_millis(200)), 5).count() as u64;
    let address = upstream(Behaviour {
        name: "one".to_owned(),
        error_rate: 0.25,
        ..Behaviour::default()
    });
    let total = run(plan(address));
    assert_eq!(total.all.requests, due);
    assert_eq!(total.endpoints["one"].requests, due);
    assert_eq!(total.failures.keys().collect::<Vec<_>>(), ["status 503"]);
    let share = total.all.errors as f64 / due as f64;
    assert!(
        (0.15..0.35).contains(&share),
        "a quarter of {due} was to fail, {share} did"
    );
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    // One at a time, 5 ms each, 400 due within 200 ms: the last one waits for about 1.8 s. A closed loop
    // would have seen 5 ms.
    let behaviour = Behaviour {
        latency: "5ms".parse().unwrap(),
        concurrency: Some(1),
        ..Behaviour::default()
    };
    let total = run(plan(upstream(behaviour)));
    assert_eq!(total.all.errors, 0, "{:?}", total.failures);
    let p50 = total.all.quantile_ms(0.5).unwrap();
    assert!(p50 > 400.0, "{p50}");
}

#[test]
fn a_dead_target_and_a_full_generator_are_failures() {
    // A port that was free a moment ago and that nobody listens on.
    let dead = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let total = run(plan(dead));
    assert_eq!(total.all.requests, total.all.errors);
    assert!(
        total
            .failures
            .keys()
            .any(|reason| reason.starts_with("connect failed")),
        "{:?}",
        total.failures
    );

    let hung = upstream(Behaviour {
        hang_rate: 1.0,
        ..Behaviour::default()
    });
    let total = run(Plan {
        max_outstanding: 3,
        timeout: Duration::from_millis(300),
        ..plan(hung)
    });
    assert_eq!(total.failures["no answer in time"], 3);
    assert_eq!(total.all.requests, total.all.errors);
}
