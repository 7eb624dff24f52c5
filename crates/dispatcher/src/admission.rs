//! Requests that wait for their tenant's turn while a cluster has too much to do.
//!
//! All workers share a cluster's gate. Whoever ends a request hands its place on to the one whose turn it is, on
//! whichever worker that waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alba::{Admission, Decision, Finished, Outcome, TenantId, Ticket};
use tokio::sync::oneshot;

use crate::clock;
use crate::timer::Timer;

/// A cluster's gate.
#[derive(Debug)]
pub(crate) struct Gate {
    config: mesh::Admission,
    admission: Admission,
    waiting: Mutex<HashMap<u64, Slot>>,
}

/// A request that the admission has queued, by its number.
#[derive(Debug)]
enum Slot {
    /// It listens for its ticket; none comes if it has waited too long.
    Listening(oneshot::Sender<Option<Ticket>>),
    /// What it is to hear was said before it listened.
    Said(Option<Ticket>),
}

/// A request that has been let through. It ends as cancelled if it is not told otherwise.
#[derive(Debug)]
pub(crate) struct Admitted {
    gate: Arc<Gate>,
    ticket: Option<Ticket>,
    since: Instant,
}

impl Gate {
    pub(crate) fn new(config: &mesh::Admission) -> Self {
        Self {
            config: config.clone(),
            admission: Admission::new(config.settings.clone()),
            waiting: Mutex::default(),
        }
    }

    /// What the documents say of it.
    pub(crate) fn config(&self) -> &mesh::Admission {
        &self.config
    }

    /// How many requests may be in flight, if there is a limit, and how many wait.
    pub(crate) fn load(&self) -> (Option<u32>, usize) {
        (self.admission.limit(), self.admission.waiting())
    }

    /// Waits for a place; `None` if there is none for this request.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        tenant: TenantId,
        class: u32,
        deadline: Option<Instant>,
        timer: &mut Timer,
    ) -> Option<Admitted> {
        let now = Instant::now();
        let decision =
            self.admission
                .arrive(tenant, class, deadline.map(clock::at), clock::at(now));
        let number = match decision {
            Decision::Admit(ticket) => return Some(self.admitted(ticket)),
            Decision::Refuse => return None,
            Decision::Queue(number) => number,
        };
        let mut waiter = Waiter {
            gate: self,
            tenant,
            number,
            hears: self.listen(number),
        };
        self.let_in(clock::at(now));
        let longest = now + self.config.settings.max_wait;
        let mut until = deadline.map_or(longest, |deadline| deadline.min(longest));
        loop {
            let heard = timer.until(Some(until.into()), &mut waiter.hears).await;
            match heard {
                Ok(Ok(said)) => return said.map(|ticket| self.admitted(ticket)),
                // The gate keeps the other end until it has said something.
                Ok(Err(_)) => return None,
                Err(_) => {
                    let now = Instant::now();
                    self.expire(clock::at(now));
                    // If it was not this one's time yet, it is very nearly.
                    until = now + EXPIRY_GRAIN;
                }
            }
        }
    }

    fn admitted(self: &Arc<Self>, ticket: Ticket) -> Admitted {
        Admitted {
            gate: self.clone(),
            ticket: Some(ticket),
            since: Instant::now(),
        }
    }

    fn listen(&self, number: u64) -> oneshot::Receiver<Option<Ticket>> {
        let (says, hears) = oneshot::channel();
        let mut waiting = self.lock();
        match waiting.remove(&number) {
            // The receiver is here: it takes it.
            Some(Slot::Said(said)) => drop(says.send(said)),
            _ => drop(waiting.insert(number, Slot::Listening(says))),
        }
        hears
    }

    /// Tells a queued request what became of it. Gives the ticket back if nobody wants it any more.
    fn say(&self, number: u64, said: Option<Ticket>) -> Option<Ticket> {
        let mut waiting = self.lock();
        match waiting.remove(&number) {
            Some(Slot::Listening(says)) => says.send(said).err().flatten(),
            _ => {
                waiting.insert(number, Slot::Said(said));
                None
            }
        }
    }

    /// Refuses what has waited too long.
    fn expire(&self, now: alba::Time) {
        self.let_in(now);
        for number in self.admission.handle_timeout(now) {
            self.say(number, None);
        }
    }

    /// Ends a request, and lets those through that there is room for now.
    fn leave(&self, ticket: Ticket, finished: Finished) {
        let now = clock::now();
        self.admission.complete(ticket, finished, now);
        self.let_in(now);
    }

    /// Lets those through that there is room for now.
    fn let_in(&self, now: alba::Time) {
        while let Some(ticket) = self.admission.next(now) {
            let number = ticket.number;
            if let Some(unwanted) = self.say(number, Some(ticket)) {
                self.admission.complete(unwanted, CANCELLED, now);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Slot>> {
        // Nothing is left half-done under it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How soon a request looks again that woke a moment before its time.
const EXPIRY_GRAIN: std::time::Duration = std::time::Duration::from_millis(1);

const CANCELLED: Finished = Finished {
    outcome: Outcome::Cancelled,
    latency: std::time::Duration::ZERO,
    cost: None,
};

/// A request in the queue, which leaves it when its client does.
struct Waiter<'g> {
    gate: &'g Gate,
    tenant: TenantId,
    number: u64,
    hears: oneshot::Receiver<Option<Ticket>>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.hears.close();
        if let Ok(Some(ticket)) = self.hears.try_recv() {
            self.gate.leave(ticket, CANCELLED);
            return;
        }
        if self.gate.admission.withdraw(self.tenant, self.number) {
            self.gate.lock().remove(&self.number);
        }
    }
}

impl Admitted {
    /// The request's answer began, or it ended without one, at `end`.
    pub(crate) fn finish(mut self, outcome: Outcome, end: Instant) {
        if let Some(ticket) = self.ticket.take() {
            let finished = Finished {
                outcome,
                latency: end.saturating_duration_since(self.since),
                cost: None,
            };
            self.gate.leave(ticket, finished);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.leave(ticket, CANCELLED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Arc<Gate> {
        Arc::new(Gate::new(&mesh::Admission {
            tenant_header: "x-tenant".to_owned(),
            settings: alba::AdmissionSettings::default(),
        }))
    }

    fn ticket(gate: &Gate) -> Ticket {
        match gate.admission.arrive(TenantId(1), 0, None, clock::now()) {
            Decision::Admit(ticket) => ticket,
            other => panic!("{other:?} without overload"),
        }
    }

    #[test]
    fn every_way_out_gives_the_place_back() {
        let gate = gate();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut timer = Timer::default();
            let finished = gate.enter(TenantId(1), 0, None, &mut timer).await.unwrap();
            let dropped = gate.enter(TenantId(2), 0, None, &mut timer).await.unwrap();
            assert_eq!(gate.admission.in_flight(), 2);
            finished.finish(Outcome::Success, Instant::now());
            drop(dropped);
        });
        assert_eq!(gate.admission.in_flight(), 0);
    }

    #[test]
    fn what_was_said_too_early_is_heard() {
        let gate = gate();
        assert_eq!(gate.say(7, None), None);
        assert_eq!(gate.listen(7).try_recv(), Ok(None));
        assert!(gate.lock().is_empty());
    }

    #[test]
    fn a_ticket_that_nobody_wants_any_more_comes_back() {
        let gate = gate();
        let ticket = ticket(&gate);
        drop(gate.listen(7));
        let unwanted = gate.say(7, Some(ticket));
        assert!(unwanted.is_some());
        assert!(gate.lock().is_empty());
    }

    #[test]
    fn a_client_that_leaves_with_its_ticket_hands_it_on() {
        let gate = gate();
        let waiter = Waiter {
            gate: &gate,
            tenant: TenantId(1),
            number: 7,
            hears: gate.listen(7),
        };
        assert!(gate.say(7, Some(ticket(&gate))).is_none());
        assert_eq!(gate.admission.in_flight(), 1);
        drop(waiter);
        assert_eq!(gate.admission.in_flight(), 0);
    }
}
