//! What happens to servers: trouble, antagonists, joining and leaving.

use super::agenda::Event;
use super::server::Server;
use super::{World, locality, seconds};
use crate::draws;
use crate::scenario::{Group, Size, State};
use alba::Outcome;

/// How many servers a share of those at the start is.
pub(crate) fn servers(share: f64, at_start: u32) -> u32 {
    (share * f64::from(at_start)).round() as u32
}

/// How many of `total` are dealt with in batch number `batch` of `batches`.
fn in_batch(total: u32, batch: u32, batches: u32) -> u32 {
    total * (batch + 1) / batches - total * batch / batches
}

impl World<'_> {
    pub(super) fn plan_changes(&mut self, size: Size) {
        let begin = self.begin as f64 / 1e9;
        let at = |moment_s: f64| seconds((begin + moment_s).max(0.0));
        let mut first = 0;
        for (index, group) in (0..).zip(&self.scenario.group) {
            let members = match (group.count, group.share) {
                (Some(count), _) => count,
                (None, share) => servers(share.unwrap_or(0.0), size.servers).max(1),
            };
            let last = (first + members).min(size.servers);
            for server in first..last {
                let event = |begins| Event::Trouble {
                    server,
                    group: index,
                    begins,
                };
                self.agenda.add(group.from_s.map_or(0, at), event(true));
                if let Some(until_s) = group.until_s {
                    self.agenda.add(at(until_s), event(false));
                }
            }
            first = last;
        }
        if let Some(antagonists) = &self.scenario.antagonists
            && antagonists.share > 0.0
        {
            for server in 0..size.servers {
                let active = self.antagonists[server as usize].unit() < antagonists.share;
                self.set_antagonist(server, active);
            }
        }
        for (index, change) in (0..).zip(&self.scenario.change) {
            for batch in 0..change.batches {
                let moment = at(change.at_s + f64::from(batch) * change.every_s);
                self.agenda.add(
                    moment,
                    Event::Change {
                        change: index,
                        batch,
                    },
                );
            }
        }
    }

    pub(super) fn trouble(&mut self, number: u32, group: u32, begins: bool) {
        let now = self.now;
        let group: Group = match begins {
            true => self.scenario.group[group as usize],
            false => Group::default(),
        };
        let server = &mut self.servers[number as usize];
        server.machine_slowdown = group.slowdown.unwrap_or(1.0);
        server.connect = seconds(group.connect_ms.unwrap_or(0.0) / 1e3);
        server.failing = group.failing.unwrap_or(0.0);
        server.failing_reports = group.failing_reports;
        server.draining = group.state == Some(State::Draining);
        let crashes = group.state == Some(State::Crashed);
        let lost = match crashes && !server.crashed {
            true => server.crash(now, &mut self.flights),
            false => Vec::new(),
        };
        // Work until now is counted under what was, so conditions change after that.
        server.retune(now);
        server.crashed = crashes;
        server.hung = group.state == Some(State::Hung);
        server.wake(now, &mut self.flights);
        for ticket in lost {
            if self.flights.of(ticket).abandoned {
                self.flights.remove(ticket);
            } else {
                self.respond(ticket, Outcome::Reset, false);
            }
        }
        self.reschedule(number);
    }

    /// An antagonist comes to a server or goes; the next change is planned.
    fn set_antagonist(&mut self, number: u32, active: bool) {
        let Some(antagonists) = &self.scenario.antagonists else {
            return;
        };
        let rng = &mut self.antagonists[number as usize];
        let server = &mut self.servers[number as usize];
        let mean_s = if active {
            server.taken_spare = draws::uniform(rng, antagonists.spare[0], antagonists.spare[1]);
            server.taken_allocation =
                draws::uniform(rng, antagonists.allocation[0], antagonists.allocation[1]);
            antagonists.state_s
        } else {
            server.taken_spare = 0.0;
            server.taken_allocation = 0.0;
            antagonists.state_s * (1.0 - antagonists.share) / antagonists.share
        };
        server.antagonist = active;
        let until = self.now + seconds(draws::exponential(rng) * mean_s).max(1);
        server.retune(self.now);
        self.agenda.add(until, Event::Antagonist { server: number });
        self.reschedule(number);
    }

    pub(super) fn antagonist(&mut self, number: u32) {
        let active = !self.servers[number as usize].antagonist;
        self.set_antagonist(number, active);
    }

    pub(super) fn change(&mut self, change: u32, batch: u32) {
        let change = self.scenario.change[change as usize];
        // Those at the start have no birthday.
        let at_start = self
            .servers
            .iter()
            .filter(|server| server.born.is_none())
            .count() as u32;
        let joining = in_batch(servers(change.join, at_start), batch, change.batches);
        let leaving = in_batch(servers(change.leave, at_start), batch, change.batches);
        for _ in 0..joining {
            let number = self.servers.len() as u32;
            let zone = number % self.scenario.network.zones;
            let server = Server::new(self.scenario.server, zone, Some(self.now), self.now);
            self.servers.push(server);
            self.listed.push(number);
        }
        let leaving = leaving.min(self.listed.len() as u32 - 1) as usize;
        for server in self.listed.drain(..leaving).collect::<Vec<_>>() {
            self.servers[server as usize].draining = true;
            let at = self.now + seconds(self.scenario.server.grace_s);
            self.agenda.add(at, Event::Leave { server });
        }
        for dispatcher in 0..self.dispatchers.len() as u32 {
            let delay = seconds(draws::uniform(&mut self.jitter, 0.5, 1.5));
            self.agenda
                .add(self.now + delay, Event::Discover { dispatcher });
        }
    }

    /// Shows a dispatcher which servers there are.
    pub(super) fn discover(&mut self, number: u32) {
        let servers: Vec<_> = self
            .listed
            .iter()
            .map(|&server| (server, locality(self.servers[server as usize].zone)))
            .collect();
        let time = self.time();
        let dispatcher = &mut self.dispatchers[number as usize];
        dispatcher
            .policy
            .set_servers(time, &servers, &mut dispatcher.rng);
        self.plan_tick(number);
    }
}
