//! One server: egalitarian processor sharing with a cap and a queue.
//!
//! All requests in service get the same speed, so it is enough to keep how much work each has attained
//! since the server began (`attained`): a request that joins now is done when that has grown by its own
//! work. Whatever the number of requests, an event costs a heap operation.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use super::agenda::NEVER;
use super::flights::{Flights, Stage, Ticket};
use super::reporting::Reporting;
use crate::scenario::{FailingReports, ServerModel};

/// What a server does with a request that reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It is in.
    In,
    /// The queue is full.
    Full,
}

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    model: ServerModel,
    pub(crate) zone: u32,
    /// When it joined a running world; `None` if it was there from the start.
    pub(crate) born: Option<u64>,
    /// An antagonist is active, and takes these shares of spare and allocated cores.
    pub(crate) antagonist: bool,
    pub(crate) taken_spare: f64,
    pub(crate) taken_allocation: f64,
    /// How much longer work takes on this machine.
    pub(crate) machine_slowdown: f64,
    pub(crate) hung: bool,
    pub(crate) crashed: bool,
    /// It says that it drains.
    pub(crate) draining: bool,
    /// It accepts no more.
    pub(crate) left: bool,
    pub(crate) connect: u64,
    pub(crate) failing: f64,
    pub(crate) failing_reports: Option<FailingReports>,
    /// Requests on their way, and their work.
    pub(crate) going: u32,
    pub(crate) going_work_s: f64,
    pub(crate) reporting: Reporting,

    cores: f64,
    slowdown: f64,
    /// Work that each request in service gets per second.
    speed: f64,
    attained: f64,
    updated: u64,
    active: u32,
    /// Of the requests in service.
    tags: f64,
    jobs: BinaryHeap<Job>,
    queue: VecDeque<Ticket>,
    queued: u32,
    queued_work_s: f64,
    /// Work done, and work that could have been done, ever.
    done_s: f64,
    possible_s: f64,
}

#[derive(Debug, Clone, Copy)]
struct Job {
    tag: f64,
    ticket: Ticket,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Job {}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Job {
    /// Reversed: the heap's greatest is the one done first.
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .tag
            .total_cmp(&self.tag)
            .then_with(|| other.ticket.cmp(&self.ticket))
    }
}

impl Server {
    pub(crate) fn new(model: ServerModel, zone: u32, born: Option<u64>, now: u64) -> Self {
        let mut server = Self {
            model,
            zone,
            born,
            antagonist: false,
            taken_spare: 0.0,
            taken_allocation: 0.0,
            machine_slowdown: 1.0,
            hung: false,
            crashed: false,
            draining: false,
            left: false,
            connect: 0,
            failing: 0.0,
            failing_reports: None,
            going: 0,
            going_work_s: 0.0,
            reporting: Reporting::default(),
            cores: model.cores,
            slowdown: 1.0,
            speed: 0.0,
            attained: 0.0,
            updated: now,
            active: 0,
            tags: 0.0,
            jobs: BinaryHeap::new(),
            queue: VecDeque::new(),
            queued: 0,
            queued_work_s: 0.0,
            done_s: 0.0,
            possible_s: 0.0,
        };
        server.retune(now);
        server
    }

    /// Takes the server's condition anew, after any of it changed and from time to time during warm-up.
    pub(crate) fn retune(&mut self, now: u64) {
        self.advance(now);
        let model = &self.model;
        self.cores =
            model.cores * (1.0 - self.taken_allocation) + model.spare * (1.0 - self.taken_spare);
        self.slowdown = self.machine_slowdown * self.warm_up_factor(now);
        self.respeed();
    }

    fn warm_up_factor(&self, now: u64) -> f64 {
        let Some(born) = self.born else { return 1.0 };
        if !self.is_warming_up(now) {
            return 1.0;
        }
        let age = (now - born) as f64 / 1e9 / self.model.warm_up_s;
        1.0 + (self.model.warm_up_factor - 1.0) * (1.0 - age)
    }

    pub(crate) fn is_warming_up(&self, now: u64) -> bool {
        self.born
            .is_some_and(|born| ((now - born) as f64) < self.model.warm_up_s * 1e9)
    }

    fn respeed(&mut self) {
        self.speed = if self.active == 0 || self.hung || self.crashed {
            0.0
        } else {
            (self.cores / f64::from(self.active)).min(1.0) / self.slowdown
        };
    }

    /// Counts the work done until `now`.
    fn advance(&mut self, now: u64) {
        let seconds = (now - self.updated) as f64 / 1e9;
        self.updated = now;
        let step = self.speed * seconds;
        self.attained += step;
        let work_s = step * f64::from(self.active);
        self.done_s += work_s;
        if self.is_serving() {
            self.possible_s += self.cores / self.slowdown * seconds;
        }
        self.reporting.busy_s += work_s * self.slowdown;
    }

    /// A request has come. `Full` leaves it where it was.
    pub(crate) fn enter(&mut self, now: u64, ticket: Ticket, flights: &mut Flights) -> Admitted {
        let present = self.in_flight();
        let flight = flights.of_mut(ticket);
        flight.reached = now;
        flight.found = present + 1;
        if self.active < self.model.concurrency && !self.hung {
            self.advance(now);
            self.start(ticket, flights);
        } else if self.hung || self.queued < self.model.queue {
            flight.stage = Stage::Queued;
            self.queued += 1;
            self.queued_work_s += flight.work_s;
            self.queue.push_back(ticket);
        } else {
            return Admitted::Full;
        }
        Admitted::In
    }

    /// `advance` first.
    fn start(&mut self, ticket: Ticket, flights: &mut Flights) {
        let flight = flights.of_mut(ticket);
        flight.stage = Stage::Served;
        flight.tag = self.attained + flight.work_s;
        self.tags += flight.tag;
        self.jobs.push(Job {
            tag: flight.tag,
            ticket,
        });
        self.active += 1;
        self.respeed();
    }

    /// When the next request will be done, if nothing changes.
    pub(crate) fn next_finish(&mut self, flights: &Flights) -> u64 {
        while let Some(job) = self.jobs.peek() {
            if flights.is_at(job.ticket, Stage::Served) {
                break;
            }
            self.jobs.pop();
        }
        match self.jobs.peek() {
            Some(job) if self.speed > 0.0 => {
                let seconds = (job.tag - self.attained).max(0.0) / self.speed;
                self.updated + (seconds * 1e9).ceil() as u64
            }
            _ => NEVER,
        }
    }

    /// Takes the request that is done now; [`next_finish`](Self::next_finish) said when.
    pub(crate) fn finish(&mut self, now: u64, flights: &mut Flights) -> Option<Ticket> {
        self.advance(now);
        let job = self.jobs.pop()?;
        // Rounding to nanoseconds may have left a trifle.
        self.attained = self.attained.max(job.tag);
        self.quit(job.tag, flights);
        Some(job.ticket)
    }

    /// Takes a request out before it is done. `advance`s; the flight's stage says where it was.
    pub(crate) fn abandon(&mut self, now: u64, ticket: Ticket, flights: &mut Flights) {
        self.advance(now);
        let flight = flights.of_mut(ticket);
        match std::mem::replace(&mut flight.stage, Stage::Returning) {
            Stage::Served => {
                let tag = flight.tag;
                self.quit(tag, flights);
            }
            Stage::Queued => {
                // Its place in the queue is skipped when its turn comes.
                self.queued -= 1;
                self.queued_work_s -= flight.work_s;
            }
            stage => flight.stage = stage,
        }
    }

    /// One fewer in service: the next in the queue takes its place.
    fn quit(&mut self, tag: f64, flights: &mut Flights) {
        self.active -= 1;
        self.tags -= tag;
        if self.active == 0 {
            // Keeps rounding errors from adding up.
            self.tags = 0.0;
        }
        self.refill(flights);
        self.respeed();
    }

    fn refill(&mut self, flights: &mut Flights) {
        while self.active < self.model.concurrency && !self.hung {
            let Some(ticket) = self.queue.pop_front() else {
                break;
            };
            if flights.is_at(ticket, Stage::Queued) {
                self.queued -= 1;
                self.queued_work_s -= flights.of(ticket).work_s;
                self.start(ticket, flights);
            }
        }
    }

    /// Starts what waited while it hung.
    pub(crate) fn wake(&mut self, now: u64, flights: &mut Flights) {
        self.retune(now);
        self.refill(flights);
        self.respeed();
    }

    /// Everything in it, which is lost.
    pub(crate) fn crash(&mut self, now: u64, flights: &mut Flights) -> Vec<Ticket> {
        let mut lost: Vec<Ticket> = std::mem::take(&mut self.jobs)
            .into_sorted_vec()
            .into_iter()
            .map(|job| job.ticket)
            .filter(|&ticket| flights.is_at(ticket, Stage::Served))
            .collect();
        let queue = std::mem::take(&mut self.queue);
        lost.extend(
            queue
                .into_iter()
                .filter(|&ticket| flights.is_at(ticket, Stage::Queued)),
        );
        for &ticket in &lost {
            self.abandon(now, ticket, flights);
        }
        lost
    }

    /// Requests in it.
    pub(crate) fn in_flight(&self) -> u32 {
        self.active + self.queued
    }

    /// Cores it can use now.
    pub(crate) fn cores(&self) -> f64 {
        self.cores
    }

    /// How much longer work takes now.
    pub(crate) fn slowdown(&self) -> f64 {
        self.slowdown
    }

    /// It accepts and answers.
    pub(crate) fn is_serving(&self) -> bool {
        !self.hung && !self.crashed && !self.left
    }

    /// Work left in it at `now`, in seconds of one unimpeded core.
    pub(crate) fn backlog_s(&self, now: u64) -> f64 {
        let attained = self.attained + self.speed * (now - self.updated) as f64 / 1e9;
        (self.tags - attained * f64::from(self.active)).max(0.0) + self.queued_work_s.max(0.0)
    }

    /// Work done and work that could have been done, since it began, in seconds of one unimpeded core.
    pub(crate) fn totals_s(&mut self, now: u64) -> (f64, f64) {
        self.advance(now);
        (self.done_s, self.possible_s)
    }

    /// Brings what it reports up to `now`.
    pub(crate) fn sample(&mut self, now: u64, interval_s: f64) {
        self.advance(now);
        let in_flight = self.in_flight();
        let allocation = self.model.cores;
        self.reporting
            .sample(in_flight, allocation, self.draining, interval_s);
    }
}
