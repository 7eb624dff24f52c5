//! Requests under way, in a slab.

use alba::{LoadReport, Outcome};

/// Names a request for as long as it lives; of use after that, it is known to be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) slot: u32,
    generation: u32,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// At its dispatcher, between attempts.
    Waiting,
    /// On its way to a server.
    Going,
    /// In a server's queue.
    Queued,
    /// Being worked on.
    Served,
    /// Its answer is on its way back.
    Returning,
}

/// Servers that one request can have tried: the first and two more.
pub(crate) const MOST_TRIES: usize = 3;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    generation: u32,
    pub(crate) stage: Stage,
    /// Its dispatcher no longer waits.
    pub(crate) abandoned: bool,
    /// It came within the measured time.
    pub(crate) measured: bool,
    pub(crate) tries: u8,
    pub(crate) tried: [u32; MOST_TRIES],
    pub(crate) server: u32,
    pub(crate) dispatcher: u32,
    pub(crate) class: u32,
    pub(crate) zone: u32,
    pub(crate) tenant: u32,
    pub(crate) arrived: u64,
    pub(crate) sent: u64,
    /// When it reached the server.
    pub(crate) reached: u64,
    /// Requests in the server when it came, with itself.
    pub(crate) found: u32,
    /// In seconds of one unimpeded core.
    pub(crate) work_s: f64,
    /// What the server will have attained for it when it is done.
    pub(crate) tag: f64,
    pub(crate) outcome: Outcome,
    pub(crate) report: Option<LoadReport>,
}

impl Flight {
    pub(crate) fn tried(&self) -> &[u32] {
        &self.tried[..self.tries as usize]
    }
}

/// All requests under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    slots: Vec<Flight>,
    free: Vec<u32>,
}

/// What is known of a request when it comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived {
    pub(crate) at: u64,
    pub(crate) dispatcher: u32,
    pub(crate) class: u32,
    pub(crate) zone: u32,
    pub(crate) tenant: u32,
    pub(crate) work_s: f64,
    pub(crate) measured: bool,
}

impl Flights {
    pub(crate) fn add(&mut self, arrived: Arrived) -> Ticket {
        let mut flight = Flight {
            generation: 0,
            stage: Stage::Waiting,
            abandoned: false,
            measured: arrived.measured,
            tries: 0,
            tried: [0; MOST_TRIES],
            server: 0,
            dispatcher: arrived.dispatcher,
            class: arrived.class,
            zone: arrived.zone,
            tenant: arrived.tenant,
            arrived: arrived.at,
            sent: arrived.at,
            reached: 0,
            found: 0,
            work_s: arrived.work_s,
            tag: 0.0,
            outcome: Outcome::Success,
            report: None,
        };
        match self.free.pop() {
            Some(slot) => {
                let place = &mut self.slots[slot as usize];
                flight.generation = place.generation;
                *place = flight;
                Ticket {
                    slot,
                    generation: place.generation,
                }
            }
            None => {
                self.slots.push(flight);
                Ticket {
                    slot: self.slots.len() as u32 - 1,
                    generation: 0,
                }
            }
        }
    }

    /// `None` if it is gone.
    pub(crate) fn find(&mut self, ticket: Ticket) -> Option<&mut Flight> {
        let flight = &mut self.slots[ticket.slot as usize];
        (flight.generation == ticket.generation).then_some(flight)
    }

    /// One that is known to live.
    pub(crate) fn of(&self, ticket: Ticket) -> &Flight {
        let flight = &self.slots[ticket.slot as usize];
        debug_assert_eq!(flight.generation, ticket.generation, "the request lives");
        flight
    }

    /// As [`of`](Self::of).
    pub(crate) fn of_mut(&mut self, ticket: Ticket) -> &mut Flight {
        let flight = &mut self.slots[ticket.slot as usize];
        debug_assert_eq!(flight.generation, ticket.generation, "the request lives");
        flight
    }

    /// Whether it lives and is at `stage`.
    pub(crate) fn is_at(&self, ticket: Ticket, stage: Stage) -> bool {
        let flight = &self.slots[ticket.slot as usize];
        flight.generation == ticket.generation && flight.stage == stage
    }

    /// Forgets it. Neither its dispatcher nor a server may hold it any more.
    pub(crate) fn remove(&mut self, ticket: Ticket) {
        let flight = &mut self.slots[ticket.slot as usize];
        debug_assert_eq!(flight.generation, ticket.generation, "removed once");
        flight.generation = flight.generation.wrapping_add(1);
        self.free.push(ticket.slot);
    }
}
