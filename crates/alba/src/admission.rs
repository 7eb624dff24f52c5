//! Who may go on to a server while there is too much to do.
//!
//! Under overload requests wait here, in a short queue per tenant, instead of in the servers, where nobody
//! could tell tenants apart. How many a dispatcher lets through at a time follows from what answers take
//! ([`limit`]); whose turn it is follows from weights ([`fair_queue`]). Each dispatcher decides alone.
//!
//! Without overload there is no limit, and both calls for a request cost an atomic operation each and a look
//! at a lock that nobody waits for.

mod fair_queue;
mod limit;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::fair_queue::{FairQueue, Waiting};
use self::limit::{Answer, Limit, OPEN};
use crate::{Outcome, Time};

/// Names of tenants may come from clients: not each of any number may fill a queue.
const MAX_FULL_QUEUES: usize = 64;

/// Whose request it is; how a request is assigned to a tenant is the caller's affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u64);

/// What can be set about admission.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AdmissionSettings {
    /// Shares under overload, each above 0; who is not listed has 1.
    pub weights: BTreeMap<TenantId, f64>,
    /// Answers may take this share of the time that their requests have left until their deadlines, in the
    /// mean, before others wait here; above 0 and at most 1. Requests without a deadline say nothing about
    /// overload, so with no deadlines at all nothing ever waits.
    pub deadline_share: f64,
    /// Longest wait here. What waited longer is dropped: its user has gone, or will wait in vain.
    pub max_wait: Duration,
    /// Most requests of one tenant that wait; what comes then is refused. All tenants together may have 64
    /// times as many.
    pub max_waiting: u32,
}

impl Default for AdmissionSettings {
    /// Weights of 1; an eighth of the deadline, since of exponential times with that mean hardly any
    /// miss it; and a wait of 100 ms, which few users notice, for at most 1024 requests.
    fn default() -> Self {
        Self {
            weights: BTreeMap::new(),
            deadline_share: 0.125,
            max_wait: Duration::from_millis(100),
            max_waiting: 1024,
        }
    }
}

/// What becomes of a request that arrives.
#[derive(Debug, PartialEq)]
pub enum Decision {
    /// It goes on at once. Hand the ticket to [`Admission::complete`].
    Admit(Ticket),
    /// It waits until [`Admission::next`] or [`Admission::handle_timeout`] gives out a ticket of this number.
    Queue(u64),
    /// Too many of its tenant wait already.
    Refuse,
}

/// An admitted request, or one whose wait is over.
#[derive(Debug, PartialEq)]
#[must_use = "a request that is never completed uses up the limit for ever"]
pub struct Ticket {
    /// As in [`Decision::Queue`]; 0 if it did not wait.
    pub number: u64,
    /// Whose it is; one for all whose names are more than are told apart.
    pub tenant: TenantId,
    /// As it arrived.
    pub class: u32,
    /// Expected when it was admitted.
    cost_s: f64,
    /// Mean that answers may take; infinite without a deadline.
    allowed_s: f64,
}

/// How an admitted request ended.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// From admission to the end, or to the first byte of the answer; the same for all requests.
    pub latency: Duration,
    /// What it cost its server, if that is known; else its class's usual time is taken.
    pub cost: Option<Duration>,
}

/// Admits, delays or refuses a dispatcher's requests. All threads of a process share one.
///
/// After each [`complete`](Self::complete), after each [`arrive`](Self::arrive) that queues and before each
/// [`handle_timeout`](Self::handle_timeout) ask [`next`](Self::next) until it has none.
///
/// If none of those in flight has completed for [`max_wait`](AdmissionSettings::max_wait), one goes on
/// whatever the limit: nothing else could show that there is room again.
#[derive(Debug)]
pub struct Admission {
    settings: AdmissionSettings,
    in_flight: AtomicU32,
    /// [`OPEN`] without overload. Written with the lock held.
    limit: AtomicU32,
    /// When the first waiting request is to be dropped. Written with the lock held.
    next_expiry: AtomicU64,
    /// When something last completed under a limit, or went on because nothing had.
    progress: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    queue: FairQueue,
    last_number: u64,
}

impl Admission {
    /// Admits everything until it has seen overload.
    pub fn new(settings: AdmissionSettings) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            limit: AtomicU32::new(OPEN),
            next_expiry: AtomicU64::new(u64::MAX),
            progress: AtomicU64::new(0),
            state: Mutex::new(State {
                limit: Limit::new(),
                queue: FairQueue::default(),
                last_number: 0,
            }),
            settings,
        }
    }

    /// A request of `class` (whatever tells cheap ones from dear ones: a route) comes at `now`. It is of no
    /// more use after `deadline`, if it has one.
    pub fn arrive(
        &self,
        tenant: TenantId,
        class: u32,
        deadline: Option<Time>,
        now: Time,
    ) -> Decision {
        if self.limit.load(Ordering::Relaxed) == OPEN {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            return Decision::Admit(Ticket {
                number: 0,
                tenant,
                class,
                cost_s: 0.0,
                allowed_s: self.allowed_s(deadline, now),
            });
        }
        let mut state = self.lock();
        let cost_s = state.limit.cost_s(class);
        let listed = self.settings.weights.contains_key(&tenant);
        let tenant = state.queue.seat(tenant, listed);
        let weight = self.weight(tenant);
        if state.queue.is_empty() && self.has_room(now) {
            self.go_on(now);
            state.queue.pass(tenant, cost_s / weight);
            return Decision::Admit(Ticket {
                number: 0,
                tenant,
                class,
                cost_s,
                allowed_s: self.allowed_s(deadline, now),
            });
        }
        let most = self.settings.max_waiting as usize;
        if state.queue.waiting(tenant) >= most || state.queue.len() >= most * MAX_FULL_QUEUES {
            return Decision::Refuse;
        }
        state.last_number += 1;
        let number = state.last_number;
        let longest = now + self.settings.max_wait;
        let expires = deadline.map_or(longest, |deadline| deadline.min(longest));
        let waiting = Waiting {
            number,
            class,
            since: now,
            expires,
            deadline,
        };
        state.queue.push(tenant, waiting);
        self.next_expiry
            .fetch_min(expires.as_nanos(), Ordering::Relaxed);
        Decision::Queue(number)
    }

    /// An admitted request has ended.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket completes once")]
    pub fn complete(&self, ticket: Ticket, finished: Finished, now: Time) {
        let in_flight = self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let open = self.limit.load(Ordering::Relaxed) == OPEN;
        if !open {
            self.progress.fetch_max(now.as_nanos(), Ordering::Relaxed);
        }
        let counts = matches!(finished.outcome, Outcome::Success | Outcome::Timeout);
        if open && !(counts && ticket.allowed_s.is_finite()) {
            return;
        }
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            // Without overload one sample more or less says nothing.
            Err(_) if open => return,
            Err(_) => self.lock(),
        };
        let state = &mut *state;
        let cost_s = finished.cost.map(|cost| cost.as_secs_f64());
        // What went while there was no limit was not counted.
        if let Some(cost_s) = cost_s
            && ticket.cost_s > 0.0
        {
            let weight = self.weight(ticket.tenant);
            state
                .queue
                .correct(ticket.tenant, (cost_s - ticket.cost_s) / weight);
        }
        if !counts {
            // Failing at once says nothing about load, and being cancelled only that someone left.
            return;
        }
        let limit = state.limit.record(
            Answer {
                class: ticket.class,
                taken_s: finished.latency.as_secs_f64(),
                allowed_s: ticket.allowed_s,
                cost_s,
                in_flight,
                waited: !state.queue.is_empty(),
            },
            now,
        );
        self.progress.fetch_max(now.as_nanos(), Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The waiting request that goes on now, if one may.
    pub fn next(&self, now: Time) -> Option<Ticket> {
        if self.next_expiry.load(Ordering::Relaxed) == u64::MAX {
            return None;
        }
        if !self.has_room(now) {
            return None;
        }
        let mut state = self.lock();
        if !self.has_room(now) {
            return None;
        }
        let State { limit, queue, .. } = &mut *state;
        let cost_s = |class| limit.cost_s(class);
        let lifo_after = self.settings.max_wait;
        let (tenant, waiting) = queue.pop(now, lifo_after, |tenant, class| {
            cost_s(class) / self.weight(tenant)
        })?;
        self.go_on(now);
        if queue.is_empty() {
            self.next_expiry.store(u64::MAX, Ordering::Relaxed);
        }
        Some(Ticket {
            number: waiting.number,
            tenant,
            class: waiting.class,
            cost_s: limit.cost_s(waiting.class),
            allowed_s: self.allowed_s(waiting.deadline, now),
        })
    }

    /// A waiting request has gone away: its client left. False if it does not wait any more.
    pub fn withdraw(&self, tenant: TenantId, number: u64) -> bool {
        self.lock().queue.remove(tenant, number)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None` if never. Ask again after
    /// each [`arrive`](Self::arrive) that queues and after each call of it.
    pub fn poll_timeout(&self) -> Option<Time> {
        let next = self.next_expiry.load(Ordering::Relaxed);
        (next != u64::MAX).then_some(Time::from_nanos(next))
    }

    /// The numbers of the requests that have waited too long at `now`: they are to be refused. Too early or
    /// twice is harmless.
    pub fn handle_timeout(&self, now: Time) -> Vec<u64> {
        let due = self.next_expiry.load(Ordering::Relaxed);
        if now.as_nanos() < due {
            return Vec::new();
        }
        let mut state = self.lock();
        let (expired, next) = state.queue.expire(now);
        let next = next.map_or(u64::MAX, Time::as_nanos);
        self.next_expiry.store(next, Ordering::Relaxed);
        expired
    }

    /// Most requests in flight at a time; `None` without overload.
    pub fn limit(&self) -> Option<u32> {
        let limit = self.limit.load(Ordering::Relaxed);
        (limit != OPEN).then_some(limit)
    }

    /// Admitted and not completed.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Waiting, of all tenants.
    pub fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    fn allowed_s(&self, deadline: Option<Time>, now: Time) -> f64 {
        let share = self.settings.deadline_share.clamp(1e-3, 1.0);
        deadline.map_or(f64::INFINITY, |deadline| {
            deadline.since(now).as_secs_f64() * share
        })
    }

    fn has_room(&self, now: Time) -> bool {
        let progress = Time::from_nanos(self.progress.load(Ordering::Relaxed));
        self.in_flight.load(Ordering::Relaxed) < self.limit.load(Ordering::Relaxed)
            || now.since(progress) >= self.settings.max_wait
    }

    /// One more is in flight. With the lock held.
    fn go_on(&self, now: Time) {
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed);
        if in_flight >= self.limit.load(Ordering::Relaxed) {
            self.progress.fetch_max(now.as_nanos(), Ordering::Relaxed);
        }
    }

    fn weight(&self, tenant: TenantId) -> f64 {
        let weight = self.settings.weights.get(&tenant).copied().unwrap_or(1.0);
        // `max` also takes the other side of a NaN.
        weight.max(1e-6)
    }

    /// Nothing is left half-done under the lock, so one that a panicking thread held is still good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
