//! A process goes on with the work of another: no request is lost, nothing that was learned is forgotten.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::http::{self, request};
use support::{Load, Site, Tally, Upstream};

fn get() -> Request<Full<Bytes>> {
    request("GET", "/", &[])
}

#[track_caller]
fn assert_lossless(tally: &Tally) {
    let shown = &tally.failed[..tally.failed.len().min(5)];
    assert!(
        tally.failed.is_empty() && tally.refused == 0,
        "{shown:#?} and {} refused",
        tally.refused
    );
    assert!(tally.good > 0);
}

/// The newest process, ended with this value: the test's own child is an older one.
struct Successor(Option<Pid>);

impl Successor {
    fn set(&mut self, answer: &http::Answer) {
        let pid = i32::try_from(answer.json()["pid"].as_i64().unwrap()).unwrap();
        self.0 = Pid::from_raw(pid);
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended by itself.
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

/// `DALBI_UPGRADES=100` for the whole of it.
fn upgrades() -> usize {
    std::env::var("DALBI_UPGRADES").map_or(6, |text| text.parse().expect("a number"))
}

/// Clients over HTTP/2, each request on a stream of one long connection for as long as that takes any.
async fn h2_clients(address: SocketAddr, stop: Arc<AtomicBool>) -> usize {
    let mut good = 0;
    while !stop.load(Ordering::Relaxed) {
        let answer = http::send_h2(address, get()).await;
        assert_eq!(answer.status(), 200);
        good += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    good
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_under_load_lose_no_request() {
    let app = Upstream::start(&[]);
    let (dalbi, _folder) =
        Site::to(&[app.address()]).serve(&["--log-level", "warn", "--drain-timeout", "20s"]);
    let control = dalbi.control();
    let address = dalbi.address(8080);
    let h1 = Load::paced(20, Duration::from_millis(5), address, get);
    let posts = Load::paced(4, Duration::from_millis(20), address, || {
        http::request_with_body("POST", "/?echo=body", &[], vec![b'x'; 100_000])
    });
    // Each outlives the process that began it.
    let streams = Load::paced(4, Duration::from_millis(1), address, || {
        request("GET", "/?delay=1500ms", &[])
    });
    let stop = Arc::<AtomicBool>::default();
    let h2 = tokio::spawn(h2_clients(address, stop.clone()));
    let mut successor = Successor(None);
    for _ in 0..upgrades() {
        h1.answered(20).await;
        let answer = control.post("/upgrade", json!({})).await;
        let before = successor.0.unwrap_or(dalbi.process.pid());
        successor.set(&answer);
        assert_ne!(successor.0, Some(before));
        posts.answered(2).await;
    }
    streams.answered(1).await;
    stop.store(true, Ordering::Relaxed);
    assert_lossless(&h1.stop().await);
    assert_lossless(&posts.stop().await);
    assert_lossless(&streams.stop().await);
    assert!(h2.await.unwrap() > 0);
    // The newest one still takes changes.
    let overview = control.overview().await;
    assert_eq!(overview["current"], overview["serving"]);
}

#[tokio::test]
async fn what_balancers_have_learned_goes_with_it() {
    let slow = Upstream::start(&["--latency", "80ms"]);
    let fast = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[slow.address(), fast.address()]).serve(&[]);
    let load = Load::start(4, dalbi.address(8080), get);
    load.answered(300).await;
    load.stop().await;
    let slowness = async || {
        let clusters = http::get(dalbi.admin(), "/clusters?format=json")
            .await
            .json();
        let clusters = clusters.as_array().unwrap().clone();
        let endpoints = clusters
            .into_iter()
            .flat_map(|cluster| cluster["endpoints"].as_array().unwrap().clone());
        let of = endpoints.filter(|endpoint| endpoint["address"] == slow.address().to_string());
        of.map(|endpoint| endpoint["slowness"].as_f64().unwrap())
            .fold(0.0, f64::max)
    };
    let before = slowness().await;
    assert!(before > 1.2, "{before}");
    let mut successor = Successor(None);
    successor.set(&dalbi.control().post("/upgrade", json!({})).await);
    let after = slowness().await;
    assert!(
        (after / before - 1.0).abs() < 0.2,
        "{before} before, {after} after"
    );
}

#[tokio::test]
async fn a_program_that_does_not_get_ready_changes_nothing() {
    let app = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[app.address()]).serve(&[]);
    let control = dalbi.control();
    for (binary, wanted) in [
        ("/nonexistent/dalbi", "start /nonexistent/dalbi"),
        ("/bin/false", "ended at once"),
    ] {
        let answer = control
            .try_post("/upgrade", json!({"binary": binary}))
            .await
            .unwrap();
        assert_eq!(answer.status(), 500);
        assert!(answer.text().contains(wanted), "{}", answer.text());
        assert!(
            answer.text().contains("the old process goes on"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(http::get(dalbi.address(8080), "/").await.status(), 200);
    // It still has its store.
    let answer = control.post("/generations/gc", json!({})).await;
    assert_eq!(answer.status(), 200);
}
