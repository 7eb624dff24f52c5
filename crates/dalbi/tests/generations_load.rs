//! Generations come and go under load: no request is lost, and none is served by parts of two.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use support::http::{Connection, request};
use support::{Dalbi, Folder, Upstream};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Everything goes to one echoing server; the generation's mark is put on the request and on the answer.
fn marked(mark: &str, port: &str) -> String {
    format!(
        "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gate}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 8080, name: http, protocol: HTTP}}
    hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: all}}
spec:
  hosts: ['*']
  gateways: [gate]
  http:
  - headers:
      request: {{set: {{x-mark: '{mark}'}}}}
      response: {{set: {{x-mark: '{mark}'}}}}
    route:
    - destination: {{host: app.internal}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: app}}
spec:
  hosts: [app.internal]
  resolution: STATIC
  ports:
  - {{number: 80, name: http, protocol: HTTP}}
  endpoints:
  - address: 127.0.0.1
    ports: {{http: {port}}}
"
    )
}

/// Clients that look at every answer.
struct Watchers {
    clients: JoinSet<()>,
    stop: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    canaries: Arc<AtomicUsize>,
}

impl Watchers {
    fn start(clients: usize, period: Duration, address: SocketAddr) -> Self {
        let (stop, good) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let canaries = Arc::<AtomicUsize>::default();
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let (stop, good, canaries) = (stop.clone(), good.clone(), canaries.clone());
            set.spawn(async move {
                let mut connection = Connection::open(address).await.unwrap();
                let mut ticks = tokio::time::interval(period);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    let answer = connection.send(request("GET", "/", &[])).await.unwrap();
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                    let mark = answer.header("x-mark").to_owned();
                    let seen = answer.json()["headers"]["x-mark"][0]
                        .as_str()
                        .unwrap()
                        .to_owned();
                    assert_eq!(seen, mark, "one request was served by two generations");
                    canaries.fetch_add(usize::from(mark.starts_with("canary")), Ordering::Relaxed);
                    good.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self {
            clients: set,
            stop,
            good,
            canaries,
        }
    }

    /// How many were answered; panics if any was not, or not as it should have been.
    async fn stop(mut self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        (
            self.good.load(Ordering::Relaxed),
            self.canaries.load(Ordering::Relaxed),
        )
    }

    async fn answered(&self, more: usize) {
        let wanted = self.good.load(Ordering::Relaxed) + more;
        support::until("requests are answered", async || {
            self.good.load(Ordering::Relaxed) >= wanted
        })
        .await;
    }
}

/// `DALBI_APPLIES=1000` for the whole of it.
fn applies() -> usize {
    std::env::var("DALBI_APPLIES").map_or(60, |text| text.parse().expect("a number"))
}

#[tokio::test]
async fn applies_and_rollbacks_under_load_lose_and_mix_no_request() {
    let app = Upstream::start(&[]);
    let port = app.port();
    let folder = Folder::new();
    folder.write("site.yaml", &marked("first", &port));
    let dalbi = Dalbi::run(folder.path(), &["--log-level", "warn", "--watch=false"]);
    let control = dalbi.control();
    // 5,000 requests a second, if the machine can.
    let watchers = Watchers::start(50, Duration::from_millis(10), dalbi.address(8080));
    watchers.answered(50).await;
    let at_once = json!({"probation_s": 0, "supersede": true, "force": true});
    for number in 0..applies() {
        match number % 4 {
            // Two that are confirmed, so that there is something to go back to.
            0 | 1 => {
                let text = marked(&format!("whole-{number}"), &port);
                let answer = control.apply(&text, at_once.clone()).await;
                assert_eq!(answer.status(), 202, "{}", answer.text());
            }
            2 => {
                let text = marked(&format!("canary-{number}"), &port);
                let terms = json!({"probation_s": 60, "canary": 0.2, "force": true});
                let answer = control.apply(&text, terms).await;
                assert_eq!(answer.status(), 202, "{}", answer.text());
                let id = answer.json()["id"].as_str().unwrap().to_owned();
                watchers.answered(20).await;
                let end = if number % 8 == 2 { "cancel" } else { "confirm" };
                control
                    .post(
                        &format!("/generations/{id}/{end}"),
                        json!({"author": "test"}),
                    )
                    .await;
            }
            _ => {
                control
                    .post("/generations/rollback", json!({"author": "test"}))
                    .await;
            }
        }
        watchers.answered(5).await;
    }
    let (good, canaries) = watchers.stop().await;
    println!(
        "{good} requests over {} changes, {canaries} by canaries",
        applies()
    );
    assert!(canaries > 0);
    let overview = control.overview().await;
    assert_eq!(overview["pending"], json!(null));
    assert_eq!(overview["current"], overview["serving"]);
}

#[tokio::test]
async fn a_canary_serves_its_share_and_nothing_of_it_is_left_when_it_is_cancelled() {
    let app = Upstream::start(&[]);
    let folder = Folder::new();
    folder.write("site.yaml", &marked("old", &app.port()));
    let dalbi = Dalbi::run(folder.path(), &["--watch=false"]);
    let control = dalbi.control();
    let terms = json!({"probation_s": 600, "canary": 0.1});
    let answer = control.apply(&marked("new", &app.port()), terms).await;
    assert_eq!(answer.status(), 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let mut connection = Connection::open(dalbi.address(8080)).await.unwrap();
    let mut share = async |requests: usize| {
        let mut new = 0;
        for _ in 0..requests {
            let answer = connection.send(request("GET", "/", &[])).await.unwrap();
            new += usize::from(answer.header("x-mark") == "new");
        }
        new
    };
    // Ten standard deviations to either side.
    let new = share(4000).await;
    assert!((210..=590).contains(&new), "{new} of 4000");
    control
        .post(&format!("/generations/{id}/cancel"), json!({}))
        .await;
    assert_eq!(share(200).await, 0);
}
