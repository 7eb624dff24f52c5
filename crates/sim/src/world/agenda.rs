//! What happens next.
//!
//! Most events of a world come in an order that is known by construction, so they need no heap: messages
//! that take the same time arrive as they were sent, and deadlines pass as requests came. Each server has
//! at most one next completion, which moves with every arrival; a tournament tree finds the earliest
//! without leaving stale entries behind. Only what is left goes into a heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::flights::Ticket;

/// Never.
pub(crate) const NEVER: u64 = u64::MAX;

/// Something that happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A request reaches its dispatcher.
    Arrival,
    /// A server is done with a request.
    Finish { server: u32 },
    /// A request has taken too long.
    Deadline(Ticket),
    /// A request reaches its server.
    Reach(Ticket),
    /// An answer, or word of a broken connection, reaches the dispatcher.
    Answer(Ticket),
    /// A server learns that nobody waits any more.
    Cancel(Ticket),
    /// A probe reaches its server.
    Probe { probe: u32 },
    /// A probe comes back, or is given up.
    Probed { probe: u32 },
    /// A back-off is over.
    Retry(Ticket),
    /// A policy asked to be woken.
    Tick { dispatcher: u32 },
    /// Servers send reports by themselves.
    SendReports,
    /// Reports that were sent by themselves arrive.
    DeliverReports,
    /// A dispatcher tells what it saw.
    Tell { dispatcher: u32 },
    /// A dispatcher hears what the others saw.
    Hear { dispatcher: u32 },
    /// A server's trouble begins or ends.
    Trouble {
        server: u32,
        group: u32,
        begins: bool,
    },
    /// An antagonist comes or goes.
    Antagonist { server: u32 },
    /// Servers join and leave.
    Change { change: u32, batch: u32 },
    /// Admission asked to be woken.
    Gate { dispatcher: u32 },
    /// A server that leaves stops accepting.
    Leave { server: u32 },
    /// A dispatcher learns which servers there are.
    Discover { dispatcher: u32 },
    /// Means over time are taken.
    Sample,
    /// The measured time begins.
    Begin,
    /// The measured time ends.
    End,
}

/// Everything that is to happen.
#[derive(Debug)]
pub(crate) struct Agenda {
    arrival: u64,
    deadlines: VecDeque<(u64, Ticket)>,
    /// Messages within a zone and between zones.
    lanes: [VecDeque<(u64, Event)>; 2],
    finishes: Tournament,
    rest: BinaryHeap<Reverse<(u64, u64, Event)>>,
    /// Orders events of the same time as they were planned.
    sequence: u64,
}

/// How far a message goes; all of one kind take the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Within a zone.
    Local = 0,
    /// Between zones.
    Remote = 1,
}

impl Agenda {
    /// Nothing yet, for server numbers below `servers`.
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            arrival: NEVER,
            deadlines: VecDeque::new(),
            lanes: [VecDeque::new(), VecDeque::new()],
            finishes: Tournament::new(servers),
            rest: BinaryHeap::new(),
            sequence: 0,
        }
    }

    /// The next request comes at `at`.
    pub(crate) fn set_arrival(&mut self, at: u64) {
        self.arrival = at;
    }

    /// Not before any other deadline.
    pub(crate) fn add_deadline(&mut self, at: u64, ticket: Ticket) {
        self.deadlines.push_back((at, ticket));
    }

    /// A message that arrives at `at`, not before any other of the same way.
    pub(crate) fn send(&mut self, at: u64, way: Way, event: Event) {
        let lane = &mut self.lanes[way as usize];
        debug_assert!(
            lane.back().is_none_or(|&(last, _)| last <= at),
            "messages overtake"
        );
        lane.push_back((at, event));
    }

    /// A server's next completion; replaces the one before.
    pub(crate) fn set_finish(&mut self, server: u32, at: u64) {
        self.finishes.set(server as usize, at);
    }

    /// Anything else.
    pub(crate) fn add(&mut self, at: u64, event: Event) {
        self.rest.push(Reverse((at, self.sequence, event)));
        self.sequence += 1;
    }

    /// Takes the earliest. Those of the same time come in a fixed order.
    pub(crate) fn next(&mut self) -> Option<(u64, Event)> {
        let front = |queue: &VecDeque<(u64, Event)>| queue.front().map_or(NEVER, |&(at, _)| at);
        let (local, remote) = (front(&self.lanes[0]), front(&self.lanes[1]));
        let deadline = self.deadlines.front().map_or(NEVER, |&(at, _)| at);
        let finish = self.finishes.first();
        let rest = self.rest.peek().map_or(NEVER, |Reverse((at, ..))| *at);
        let at = self
            .arrival
            .min(local)
            .min(remote)
            .min(deadline)
            .min(finish)
            .min(rest);
        if at == NEVER {
            return None;
        }
        let event = if at == rest {
            self.rest.pop()?.0.2
        } else if at == finish {
            let server = self.finishes.winner() as u32;
            self.finishes.set(server as usize, NEVER);
            Event::Finish { server }
        } else if at == local {
            self.lanes[0].pop_front()?.1
        } else if at == remote {
            self.lanes[1].pop_front()?.1
        } else if at == deadline {
            Event::Deadline(self.deadlines.pop_front()?.1)
        } else {
            self.arrival = NEVER;
            Event::Arrival
        };
        Some((at, event))
    }
}

/// The least of many times, each of which may change: a tree whose inner nodes hold the lesser child.
#[derive(Debug)]
struct Tournament {
    /// Root at 1, leaves from `leaves` on.
    times: Vec<u64>,
    leaves: usize,
}

impl Tournament {
    fn new(len: usize) -> Self {
        let leaves = len.next_power_of_two().max(2);
        Self {
            times: vec![NEVER; 2 * leaves],
            leaves,
        }
    }

    fn first(&self) -> u64 {
        self.times[1]
    }

    /// Which one is first.
    fn winner(&self) -> usize {
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            if self.times[node] != self.times[node / 2] {
                node += 1;
            }
        }
        node - self.leaves
    }

    fn set(&mut self, index: usize, at: u64) {
        let mut node = self.leaves + index;
        self.times[node] = at;
        while node > 1 {
            let parent = node / 2;
            let least = self.times[node].min(self.times[node ^ 1]);
            if self.times[parent] == least {
                break;
            }
            self.times[parent] = least;
            node = parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tournament_agrees_with_a_search() {
        let mut rng = alba::Rng::seeded(5);
        let mut tournament = Tournament::new(37);
        let mut plain = vec![NEVER; 37];
        for _ in 0..5_000 {
            let index = rng.below(37) as usize;
            let at = if rng.below(4) == 0 {
                NEVER
            } else {
                u64::from(rng.below(50))
            };
            tournament.set(index, at);
            plain[index] = at;
            let least = *plain.iter().min().unwrap();
            assert_eq!(tournament.first(), least);
            assert_eq!(plain[tournament.winner().min(36)], least);
        }
    }

    #[test]
    fn events_come_in_order_of_time_from_every_source() {
        let mut agenda = Agenda::new(2);
        agenda.add(30, Event::Sample);
        agenda.add(10, Event::Begin);
        agenda.add(30, Event::End);
        agenda.set_finish(1, 20);
        agenda.set_finish(1, 25);
        agenda.send(15, Way::Remote, Event::Probe { probe: 7 });
        agenda.send(12, Way::Local, Event::Probe { probe: 8 });
        agenda.set_arrival(11);
        let order: Vec<_> = std::iter::from_fn(|| agenda.next()).collect();
        assert_eq!(
            order,
            [
                (10, Event::Begin),
                (11, Event::Arrival),
                (12, Event::Probe { probe: 8 }),
                (15, Event::Probe { probe: 7 }),
                (25, Event::Finish { server: 1 }),
                (30, Event::Sample),
                (30, Event::End),
            ]
        );
    }
}
