//! Open-loop load without coordinated omission.
//!
//! Requests are due at times that a seed decides, whatever has become of earlier ones, and latency counts from when
//! a request was due. A slow proxy can so neither slow its clients down nor hide the wait of those it kept from
//! asking.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::load::HOST;
use crate::servers::Slots;

/// Clients give up after this long; proxies that have a deadline are given a shorter one.
pub(crate) const PATIENCE: Duration = Duration::from_millis(2500);

/// How often clients look whether to give up.
const LOOK: Duration = Duration::from_millis(50);

/// An answer's head and body fit; a longer answer is a failure.
const ANSWER_BYTES: usize = 16 * 1024;

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ended {
    /// When it was due, from the start.
    pub(crate) due: Duration,
    /// From when it was due to the last byte of its answer; `None` when it failed.
    pub(crate) latency: Option<Duration>,
    /// The number in its answer's header `x-mark`, whatever the answer is.
    pub(crate) mark: Option<u32>,
}

/// Offsets at which requests are due: a Poisson process of this rate, for this long. The same seed gives the same
/// times.
pub(crate) fn schedule(rate_per_s: f64, duration: Duration, seed: u64) -> Vec<Duration> {
    arrivals(rate_per_s, seed)
        .take_while(|&due| due < duration)
        .collect()
}

/// The same without an end.
pub(crate) fn arrivals(
    rate_per_s: f64,
    seed: u64,
) -> impl Iterator<Item = Duration> + Clone + Send {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut at_s = 0.0;
    std::iter::repeat_with(move || {
        // 1 - u is never zero, so the logarithm is finite.
        at_s -= (1.0 - rng.f64()).ln() / rate_per_s;
        Duration::from_secs_f64(at_s)
    })
}

/// Sends `GET /` to this port of 127.0.0.1 whenever the schedule says, over as many kept connections as that takes.
/// Returns when all have ended, in the order in which they did.
pub(crate) fn run(port: u16, schedule: &[Duration]) -> Result<Vec<Ended>> {
    let mut all = Vec::with_capacity(schedule.len());
    let schedule = schedule.iter().copied();
    until(
        &AtomicBool::new(false),
        Instant::now(),
        port,
        schedule,
        |ended| all.push(ended),
    )?;
    Ok(all)
}

/// The same until it is told to stop, by times since `start`; `on_end` hears of each request when it ends.
pub(crate) fn until(
    stop: &AtomicBool,
    start: Instant,
    port: u16,
    schedule: impl Iterator<Item = Duration> + Clone + Send,
    on_end: impl FnMut(Ended),
) -> Result<()> {
    let poll = Poll::new().context("creating the event queue")?;
    let waker = Waker::new(poll.registry(), Token(0)).context("creating a waker")?;
    let waker = Arc::new(waker);
    std::thread::scope(|scope| {
        // The event queue's own timer counts in whole milliseconds, a sleeping thread is far more exact.
        let paced = schedule.clone();
        let pacer = scope.spawn(|| pace(stop, paced, start, &waker));
        let mut generator = Generator {
            poll,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            start,
            connections: Slots::new(),
            idle: Vec::new(),
            in_flight: 0,
            on_end,
        };
        let outcome = generator.drive(stop, schedule);
        if outcome.is_err() {
            // Whoever paces it would go on for as long as the schedule.
            stop.store(true, Ordering::Relaxed);
        }
        match (outcome, pacer.join()) {
            (Ok(()), Ok(paced)) => paced,
            (Err(error), _) => Err(error),
            (Ok(()), Err(_)) => anyhow::bail!("the pacing thread panicked"),
        }
    })
}

fn pace(
    stop: &AtomicBool,
    schedule: impl Iterator<Item = Duration>,
    start: Instant,
    waker: &Waker,
) -> Result<()> {
    for due in schedule {
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        if stop.load(Ordering::Relaxed) {
            break;
        }
        waker.wake().context("waking the sender")?;
    }
    Ok(())
}

struct Generator<F> {
    poll: Poll,
    address: SocketAddr,
    start: Instant,
    connections: Slots<Connection>,
    /// Places of connections that wait for a request, the last used at the end.
    idle: Vec<usize>,
    in_flight: usize,
    on_end: F,
}

impl<F: FnMut(Ended)> Generator<F> {
    fn drive(&mut self, stop: &AtomicBool, schedule: impl Iterator<Item = Duration>) -> Result<()> {
        let mut waiting = schedule.peekable();
        let mut events = Events::with_capacity(1024);
        let mut looked = Instant::now();
        loop {
            let is_stopped = stop.load(Ordering::Relaxed);
            if self.in_flight == 0 && (is_stopped || waiting.peek().is_none()) {
                return Ok(());
            }
            match self.poll.poll(&mut events, Some(LOOK)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.context("waiting for events")?,
            }
            for event in &events {
                if let Some(place) = event.token().0.checked_sub(1) {
                    self.handle(place, event);
                }
            }
            let now = self.start.elapsed();
            while let Some(due) = waiting.next_if(|&due| !is_stopped && due <= now) {
                self.send(due)?;
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.give_up();
            }
            self.connections.end_of_batch();
        }
    }

    fn send(&mut self, due: Duration) -> Result<()> {
        self.in_flight += 1;
        while let Some(place) = self.idle.pop() {
            let Some(connection) = self.connections.at(place) else {
                continue;
            };
            connection.due = Some(due);
            if connection.write_request() {
                return Ok(());
            }
            // It was just being closed; nothing of the request left.
            self.connections.remove(place);
        }
        let mut stream = TcpStream::connect(self.address).context("opening a connection")?;
        let place = self.connections.next();
        self.poll
            .registry()
            .register(
                &mut stream,
                Token(place + 1),
                Interest::READABLE | Interest::WRITABLE,
            )
            .context("watching a connection")?;
        self.connections.insert(Connection {
            stream,
            due: Some(due),
            is_sent: false,
            answer: Vec::new(),
            mark: None,
        });
        Ok(())
    }

    fn handle(&mut self, place: usize, event: &Event) {
        let Some(connection) = self.connections.at(place) else {
            return;
        };
        let outcome = if event.is_error() {
            Progress::Failed
        } else {
            connection.handle()
        };
        if outcome == Progress::Pending {
            return;
        }
        let (due, mark) = (connection.due.take(), connection.mark.take());
        if outcome == (Progress::Answered { is_kept: true }) {
            self.idle.push(place);
        } else {
            self.connections.remove(place);
            self.idle.retain(|&idle| idle != place);
        }
        if let Some(due) = due {
            let latency = self.start.elapsed().saturating_sub(due);
            self.end(Ended {
                due,
                latency: (outcome != Progress::Failed).then_some(latency),
                mark,
            });
        }
    }

    fn end(&mut self, ended: Ended) {
        self.in_flight -= 1;
        (self.on_end)(ended);
    }

    fn give_up(&mut self) {
        let now = self.start.elapsed();
        for place in 0..self.connections.len() {
            let late = self
                .connections
                .at(place)
                .and_then(|connection| connection.due)
                .filter(|&due| now > due + PATIENCE);
            if let Some(due) = late {
                self.connections.remove(place);
                self.end(Ended {
                    due,
                    latency: None,
                    mark: None,
                });
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Pending,
    /// Answered with 200.
    Answered {
        is_kept: bool,
    },
    Failed,
}

struct Connection {
    stream: TcpStream,
    /// When the request on it was due; `None` while it is idle.
    due: Option<Duration>,
    is_sent: bool,
    answer: Vec<u8>,
    /// Of the answer that has just ended.
    mark: Option<u32>,
}

impl Connection {
    fn handle(&mut self) -> Progress {
        // The first event of a new connection says that it is there.
        if self.due.is_some() && !self.is_sent && !self.write_request() {
            return Progress::Failed;
        }
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                // Also the end of an idle connection, which fails no request.
                Ok(0) => return Progress::Failed,
                Ok(count) => self.answer.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Progress::Failed,
            }
        }
        let progress = progress_of(&self.answer);
        if progress != Progress::Pending {
            self.mark = mark_of(&self.answer);
        }
        if let Progress::Answered { .. } = progress {
            self.answer.clear();
            self.is_sent = false;
        }
        progress
    }

    /// Whether the request has left. It is far shorter than any socket's buffer.
    fn write_request(&mut self) -> bool {
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        match self.stream.write(request.as_bytes()) {
            Ok(count) => {
                self.is_sent = true;
                count == request.len()
            }
            // A connection that is not open yet; its event will come.
            Err(error) => {
                error.kind() == ErrorKind::WouldBlock || error.kind() == ErrorKind::NotConnected
            }
        }
    }
}

/// The number in the header `x-mark`.
fn mark_of(answer: &[u8]) -> Option<u32> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    head.split("\r\n")
        .find_map(|line| line.strip_prefix("x-mark:")?.trim().parse().ok())
}

/// How far these bytes are an answer. Only what the upstreams send is one; an error page of a proxy is a failure.
fn progress_of(answer: &[u8]) -> Progress {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else {
        return if answer.len() < ANSWER_BYTES {
            Progress::Pending
        } else {
            Progress::Failed
        };
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<usize>().ok());
    let (true, Some(length)) = (head.starts_with("http/1.1 200"), length) else {
        return Progress::Failed;
    };
    match answer.len().cmp(&(end + 4 + length)) {
        std::cmp::Ordering::Less if length < ANSWER_BYTES => Progress::Pending,
        std::cmp::Ordering::Equal => Progress::Answered {
            is_kept: !head.contains("connection: close"),
        },
        _ => Progress::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_schedule_has_its_rate_and_is_its_seeds() {
        let times = schedule(1000.0, Duration::from_secs(20), 3);
        // 20,000 expected, standard deviation 141.
        assert!((19_400..20_600).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
        assert_eq!(times, schedule(1000.0, Duration::from_secs(20), 3));
        assert_ne!(times, schedule(1000.0, Duration::from_secs(20), 4));
    }

    #[test]
    fn answers_are_told_from_failures() {
        let kept = Progress::Answered { is_kept: true };
        for (answer, expected) in [
            ("", Progress::Pending),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh",
                Progress::Pending,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", kept),
            (
                "HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length:0\r\n\r\n",
                Progress::Answered { is_kept: false },
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhix",
                Progress::Failed,
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", Progress::Failed),
            (
                "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
                Progress::Failed,
            ),
        ] {
            assert_eq!(progress_of(answer.as_bytes()), expected, "{answer:?}");
        }
    }

    /// A server that stops between requests makes those wait that are due meanwhile, and latency says so.
    #[test]
    fn latency_counts_from_when_a_request_was_due() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // The first request may be answered only once all are due.
        let due: Vec<Duration> = (0..50).map(Duration::from_millis).collect();
        let last = *due.last().unwrap();
        std::thread::spawn(move || {
            let start = Instant::now();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::sleep(last.saturating_sub(start.elapsed()));
                std::thread::spawn(move || {
                    let mut buffer = [0; 1024];
                    while stream.read(&mut buffer).unwrap_or(0) > 0 {
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                            .unwrap();
                    }
                });
            }
        });
        let ended = run(port, &due).unwrap();
        assert_eq!(ended.len(), due.len());
        let first = ended.iter().find(|ended| ended.due == due[0]).unwrap();
        assert!(first.latency.unwrap() >= last, "{first:?}");
        assert!(
            ended.iter().all(|ended| ended.latency.is_some()),
            "{ended:?}"
        );
    }

    #[test]
    fn marks_are_read_of_any_answer() {
        let answer = b"HTTP/1.1 500 No\r\nX-Mark: 17\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(mark_of(answer), Some(17));
        assert_eq!(mark_of(b"HTTP/1.1 200 OK\r\n\r\nx-mark: 17"), None);
    }

    #[test]
    fn an_endless_load_stops_when_it_is_told_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let stop = AtomicBool::new(false);
        let mut ended = 0;
        until(&stop, Instant::now(), port, arrivals(2000.0, 1), |_| {
            ended += 1;
            stop.store(ended >= 10, Ordering::Relaxed);
        })
        .unwrap();
        assert!(ended >= 10);
    }

    #[test]
    fn nobody_listening_is_failures() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let due = [Duration::ZERO, Duration::from_millis(1)];
        let ended = run(port, &due).unwrap();
        assert_eq!(ended.len(), 2);
        assert!(
            ended.iter().all(|ended| ended.latency.is_none()),
            "{ended:?}"
        );
    }
}
