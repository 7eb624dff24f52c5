//! Clients that keep on sending while something happens.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::http::{Connection, Error};
use super::wire::in_time;

/// Requests on their way.
pub struct Load {
    clients: JoinSet<()>,
    size: usize,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
}

/// How they fared.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Answered with 200.
    pub good: usize,
    /// Answered otherwise or not at all, and how.
    pub failed: Vec<String>,
    /// Answers that told the client to close its connection.
    pub closed: usize,
    /// Clients that stopped because a new connection was refused.
    pub refused: usize,
}

impl Load {
    /// As many clients, each sending the next request when the last is answered, on a connection that it
    /// keeps for as long as the server does. A client whose new connection is refused stops for good.
    pub fn start(
        clients: usize,
        address: SocketAddr,
        request: fn() -> Request<Full<Bytes>>,
    ) -> Self {
        Self::paced(clients, Duration::ZERO, address, request)
    }

    /// The same with one request per client and `period`.
    pub fn paced(
        clients: usize,
        period: Duration,
        address: SocketAddr,
        request: fn() -> Request<Full<Bytes>>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::<Mutex<Tally>>::default();
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let client = Client {
                address,
                request,
                stop: stop.clone(),
                tally: tally.clone(),
            };
            set.spawn(client.run(period));
        }
        Self {
            clients: set,
            size: clients,
            stop,
            tally,
        }
    }

    /// How many clients there were at the start.
    pub fn clients(&self) -> usize {
        self.size
    }

    /// How they have fared so far.
    pub fn so_far(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    /// Waits until that many more have been answered well.
    pub async fn answered(&self, more: usize) {
        let wanted = self.so_far().good + more;
        super::until("requests are answered", async || {
            self.so_far().good >= wanted
        })
        .await;
    }

    /// Ends when every client has stopped by itself.
    pub async fn finish(mut self) -> Tally {
        in_time("ending the load", async {
            while let Some(ended) = self.clients.join_next().await {
                ended.unwrap();
            }
        })
        .await;
        self.so_far()
    }

    /// Lets every request in flight end.
    pub async fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }
}

struct Client {
    address: SocketAddr,
    request: fn() -> Request<Full<Bytes>>,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
}

impl Client {
    async fn run(self, period: Duration) {
        let mut connection: Option<Connection> = None;
        let mut ticks = (!period.is_zero()).then(|| tokio::time::interval(period));
        if let Some(ticks) = &mut ticks {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        while !self.stop.load(Ordering::Relaxed) {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            let mut kept = match connection.take() {
                Some(kept) => kept,
                None => match Connection::open(self.address).await {
                    Ok(fresh) => fresh,
                    Err(_) => {
                        self.tally.lock().unwrap().refused += 1;
                        return;
                    }
                },
            };
            match kept.send((self.request)()).await {
                Ok(answer) => {
                    let closes = answer.header("connection") == "close";
                    let mut tally = self.tally.lock().unwrap();
                    tally.closed += usize::from(closes);
                    if answer.status() == 200 {
                        tally.good += 1;
                    } else {
                        let flags = answer.header("x-dalbi-response-flags");
                        let (status, text) = (answer.status(), answer.text());
                        tally.failed.push(format!("{status} {flags} {text}"));
                    }
                    if !closes {
                        connection = Some(kept);
                    }
                }
                Err(error) => self.tally.lock().unwrap().failed.push(chain(&error)),
            }
        }
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
