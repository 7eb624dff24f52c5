//! Tenants' admission before the pick, where the scenario has tenants and the policy's makers bring it.

use std::collections::BTreeMap;
use std::time::Duration;

use alba::{Admission, AdmissionSettings, Decision, Finished, Outcome, TenantId, Time};

use super::World;
use super::agenda::{Event, NEVER};
use super::flights::Ticket;
use crate::scenario::Scenario;

/// One dispatcher's admission.
#[derive(Debug)]
pub(crate) struct Gate {
    admission: Admission,
    /// Requests that wait, by the number that admission gave them.
    waiting: BTreeMap<u64, Ticket>,
    /// When admission wants to be woken.
    due: u64,
}

/// What admission gave a request; by slot.
#[derive(Debug)]
pub(crate) enum Pass {
    /// It waits under this number.
    Waits(u64),
    /// It went on then.
    Admitted(alba::Ticket, u64),
}

impl Gate {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut settings = AdmissionSettings::default();
        for (tenant, model) in (0..).zip(&scenario.tenant) {
            settings.weights.insert(TenantId(tenant), model.weight);
        }
        Self {
            admission: Admission::new(settings),
            waiting: BTreeMap::new(),
            due: NEVER,
        }
    }
}

impl World<'_> {
    /// A request has come to a dispatcher.
    pub(super) fn admit(&mut self, ticket: Ticket) {
        let (time, now) = (self.time(), self.now);
        let flight = self.flights.of(ticket);
        let number = flight.dispatcher;
        let Some(gate) = self.gates.get_mut(number as usize) else {
            self.attempt(ticket);
            return;
        };
        let tenant = TenantId(u64::from(flight.tenant));
        let deadline = Time::from_nanos(flight.arrived + self.deadline);
        match gate
            .admission
            .arrive(tenant, flight.class, Some(deadline), time)
        {
            Decision::Admit(admitted) => {
                self.keep_pass(ticket, Some(Pass::Admitted(admitted, now)));
                self.attempt(ticket);
            }
            Decision::Queue(place) => {
                gate.waiting.insert(place, ticket);
                self.keep_pass(ticket, Some(Pass::Waits(place)));
                self.plan_gate(number);
            }
            Decision::Refuse => self.end(ticket),
        }
    }

    fn keep_pass(&mut self, ticket: Ticket, pass: Option<Pass>) {
        let slot = ticket.slot as usize;
        if self.passes.len() <= slot {
            self.passes.resize_with(slot + 1, || None);
        }
        self.passes[slot] = pass;
    }

    /// A dispatcher has nothing more to do with a request: others may go on.
    pub(super) fn release(&mut self, ticket: Ticket, outcome: Outcome) {
        let pass = self
            .passes
            .get_mut(ticket.slot as usize)
            .and_then(Option::take);
        let Some(pass) = pass else { return };
        let flight = self.flights.of(ticket);
        let (number, tenant) = (flight.dispatcher, TenantId(u64::from(flight.tenant)));
        let time = self.time();
        let gate = &mut self.gates[number as usize];
        match pass {
            Pass::Waits(place) => {
                gate.waiting.remove(&place);
                gate.admission.withdraw(tenant, place);
            }
            Pass::Admitted(admitted, since) => {
                let finished = Finished {
                    outcome,
                    latency: Duration::from_nanos(self.now - since),
                    cost: None,
                };
                gate.admission.complete(admitted, finished, time);
            }
        }
        self.let_in(number);
    }

    /// Sends on those whose turn it is.
    fn let_in(&mut self, number: u32) {
        let (time, now) = (self.time(), self.now);
        while let Some(admitted) = self.gates[number as usize].admission.next(time) {
            let waiting = self.gates[number as usize].waiting.remove(&admitted.number);
            if let Some(ticket) = waiting {
                self.keep_pass(ticket, Some(Pass::Admitted(admitted, now)));
                self.attempt(ticket);
            }
        }
        self.plan_gate(number);
    }

    fn plan_gate(&mut self, number: u32) {
        let gate = &mut self.gates[number as usize];
        if let Some(at) = gate.admission.poll_timeout() {
            let at = at.as_nanos().max(self.now + 1);
            if at < gate.due {
                gate.due = at;
                self.agenda.add(at, Event::Gate { dispatcher: number });
            }
        }
    }

    /// Refuses those who have waited too long.
    pub(super) fn gate(&mut self, number: u32) {
        let time = self.time();
        let gate = &mut self.gates[number as usize];
        if gate.due != self.now {
            // A plan that was changed since.
            return;
        }
        gate.due = NEVER;
        for place in gate.admission.handle_timeout(time) {
            if let Some(ticket) = self.gates[number as usize].waiting.remove(&place) {
                self.keep_pass(ticket, None);
                self.end(ticket);
            }
        }
        self.let_in(number);
    }
}
