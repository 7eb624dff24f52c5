//! The world: dispatchers that pick, servers that work, and what happens between them, event by event.

mod admission;
mod agenda;
mod arrivals;
mod changes;
mod exchange;
mod flights;
mod probing;
mod reporting;
mod server;
#[cfg(test)]
mod tests;

use alba::{Locality, Outcome, Rng, Time};

use crate::draws::{self, Stream};
use crate::figures::{Figures, Recorder};
use crate::policies::{Factory, Setup};
use crate::policy::{Done, Policy, Request, Truth};
use crate::scenario::{FailingReports, Scenario, Size};
use agenda::{Agenda, Event, Way};
use arrivals::Arrivals;
use flights::{Flights, MOST_TRIES, Stage, Ticket};
use server::{Admitted, Server};

/// Means over time are taken this often: often enough for a report's utilisation, rarely enough to cost
/// nothing.
const SAMPLE_S: f64 = 0.1;

/// Ceiling of the back-off before the first further try; it doubles, with full jitter, as the proxy's.
const BACKOFF_S: f64 = 0.025;

/// One run of a scenario.
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    full_information: bool,
    now: u64,
    begin: u64,
    end: u64,
    deadline: u64,
    /// One-way delays by [`Way`].
    delays: [u64; 2],
    agenda: Agenda,
    arrivals: Arrivals,
    flights: Flights,
    /// Measured requests that have not ended.
    open: u64,
    servers: Vec<Server>,
    /// Numbers of the servers that discovery shows.
    listed: Vec<u32>,
    /// Work that each server had done and could have done when measuring began, then when it ended.
    totals_s: [Vec<(f64, f64)>; 2],
    truth: Vec<Truth>,
    dispatchers: Vec<Dispatcher>,
    probing: probing::Probing,
    exchange: exchange::Rounds,
    antagonists: Vec<Rng>,
    failures: Vec<Rng>,
    reports: Rng,
    jitter: Rng,
    recorder: Recorder,
    /// By dispatcher; none without admission.
    gates: Vec<admission::Gate>,
    /// By slot of the request.
    passes: Vec<Option<admission::Pass>>,
}

struct Dispatcher {
    policy: Box<dyn Policy>,
    rng: Rng,
    zone: u32,
    /// When it is to be woken.
    tick: u64,
}

/// In the world's nanoseconds.
pub(crate) fn seconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

fn locality(zone: u32) -> Locality {
    Locality {
        region: "region".to_owned(),
        zone: format!("zone-{zone}"),
        sub_zone: String::new(),
    }
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, size: Size, factory: &Factory, seed: u64) -> Self {
        let size = scenario.size(size);
        let begin = seconds(scenario.warm_up_s);
        let end = begin + seconds(scenario.measured_s(size.servers));
        let network = scenario.network;
        let one_way = seconds(network.one_way_ms / 1e3);
        let zones = network.zones;
        let joining: u32 = scenario
            .change
            .iter()
            .map(|change| changes::servers(change.join, size.servers))
            .sum();
        let all = size.servers + joining;
        let mut servers: Vec<Server> = (0..size.servers)
            .map(|number| Server::new(scenario.server, number % zones, None, 0))
            .collect();
        // Reserved, so that a run's memory does not depend on when servers join.
        servers.reserve(joining as usize);
        let streams = |concern| -> Vec<Rng> {
            (0..all)
                .map(|number| draws::stream(seed, concern, number))
                .collect()
        };
        let dispatchers = (0..size.dispatchers)
            .map(|number| {
                let zone = number % zones;
                Dispatcher {
                    policy: factory.policy(&Setup {
                        dispatcher: number,
                        dispatchers: size.dispatchers,
                        locality: locality(zone),
                        work_s: scenario.work.mean_ms / 1e3,
                    }),
                    rng: draws::stream(seed, Stream::Policy, number),
                    zone,
                    tick: agenda::NEVER,
                }
            })
            .collect();
        let gates = match factory.admission() && !scenario.tenant.is_empty() {
            true => (0..size.dispatchers)
                .map(|_| admission::Gate::new(scenario))
                .collect(),
            false => Vec::new(),
        };
        let mut world = Self {
            scenario,
            full_information: factory.full_information(),
            now: 0,
            begin,
            end,
            deadline: seconds(scenario.deadline_ms / 1e3),
            delays: [one_way, one_way + seconds(network.between_zones_ms / 2e3)],
            agenda: Agenda::new(all as usize),
            arrivals: Arrivals::new(scenario, size, seed, begin),
            flights: Flights::default(),
            open: 0,
            listed: (0..size.servers).collect(),
            servers,
            totals_s: [Vec::new(), Vec::new()],
            truth: Vec::new(),
            dispatchers,
            probing: probing::Probing::default(),
            exchange: exchange::Rounds::default(),
            antagonists: streams(Stream::Antagonist),
            failures: streams(Stream::Failures),
            reports: draws::stream(seed, Stream::Reports, 0),
            jitter: draws::stream(seed, Stream::Delays, 0),
            recorder: Recorder::new(scenario.tenant.len()),
            gates,
            passes: Vec::new(),
        };
        world.plan(size);
        world
    }

    /// Puts on the agenda what follows from the scenario.
    fn plan(&mut self, size: Size) {
        let first = self.arrivals.next_at(0);
        self.agenda.set_arrival(first);
        self.agenda.add(self.begin, Event::Begin);
        self.agenda.add(self.end, Event::End);
        self.agenda.add(seconds(SAMPLE_S), Event::Sample);
        self.plan_changes(size);
        self.plan_exchange();
        for dispatcher in 0..size.dispatchers {
            self.discover(dispatcher);
        }
    }

    /// Runs to the end of the measured time, and on until all its requests have ended.
    pub(crate) fn run(mut self) -> Figures {
        while self.now < self.end || self.open > 0 {
            let Some((at, event)) = self.agenda.next() else {
                break;
            };
            debug_assert!(at >= self.now, "time goes forward");
            self.now = at;
            self.happen(event);
        }
        self.figures()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::Finish { server } => self.finish(server),
            Event::Deadline(ticket) => self.miss(ticket),
            Event::Reach(ticket) => self.reach(ticket),
            Event::Answer(ticket) => self.answer(ticket),
            Event::Cancel(ticket) => self.cancel(ticket),
            Event::Probe { probe } => self.probe_reaches(probe),
            Event::Probed { probe } => self.probe_returns(probe),
            Event::Retry(ticket) => {
                if self.flights.find(ticket).is_some() {
                    self.attempt(ticket);
                }
            }
            Event::Tick { dispatcher } => self.tick(dispatcher),
            Event::SendReports => self.send_reports(),
            Event::DeliverReports => self.deliver_reports(),
            Event::Tell { dispatcher } => self.tell(dispatcher),
            Event::Hear { dispatcher } => self.hear(dispatcher),
            Event::Trouble {
                server,
                group,
                begins,
            } => self.trouble(server, group, begins),
            Event::Antagonist { server } => self.antagonist(server),
            Event::Change { change, batch } => self.change(change, batch),
            Event::Gate { dispatcher } => self.gate(dispatcher),
            Event::Leave { server } => self.servers[server as usize].left = true,
            Event::Discover { dispatcher } => self.discover(dispatcher),
            Event::Sample => self.sample(),
            Event::Begin => self.totals_s[0] = self.totals(),
            Event::End => self.totals_s[1] = self.totals(),
        }
    }

    fn time(&self) -> Time {
        Time::from_nanos(self.now)
    }

    fn is_measured(&self) -> bool {
        (self.begin..self.end).contains(&self.now)
    }

    fn arrive(&mut self) {
        let measured = self.is_measured();
        let ticket = self.flights.add(self.arrivals.draw(self.now, measured));
        let next = self.arrivals.next_at(self.now);
        self.agenda.set_arrival(next);
        self.agenda.add_deadline(self.now + self.deadline, ticket);
        if measured {
            self.open += 1;
            let flight = self.flights.of(ticket);
            self.recorder.came(flight.tenant, flight.work_s);
        }
        self.admit(ticket);
    }

    /// Picks a server for a request and sends it there.
    fn attempt(&mut self, ticket: Ticket) {
        let time = self.time();
        if self.full_information {
            let dispatcher = self.flights.of(ticket).dispatcher;
            self.reveal(dispatcher);
        }
        let flight = self.flights.of_mut(ticket);
        let number = flight.dispatcher;
        let dispatcher = &mut self.dispatchers[number as usize];
        let request = Request {
            attempt: ticket.slot,
            tried: flight.tried(),
            class: flight.class,
            zone: flight.zone,
            truth: &self.truth,
        };
        let picked = dispatcher.policy.pick(time, &request, &mut dispatcher.rng);
        let Some(chosen) = picked else {
            flight.outcome = Outcome::GatewayError;
            self.end(ticket);
            return;
        };
        let server = &mut self.servers[chosen as usize];
        let way = if server.zone == dispatcher.zone {
            Way::Local
        } else {
            Way::Remote
        };
        flight.tried[flight.tries as usize] = chosen;
        flight.tries += 1;
        flight.server = chosen;
        flight.sent = self.now;
        flight.stage = Stage::Going;
        server.going += 1;
        server.going_work_s += flight.work_s;
        if flight.measured {
            self.recorder.attempts += 1;
            self.recorder.remote += u64::from(way == Way::Remote);
        }
        let at = self.now + self.delays[way as usize];
        if server.connect == 0 {
            self.agenda.send(at, way, Event::Reach(ticket));
        } else {
            self.agenda.add(at + server.connect, Event::Reach(ticket));
        }
        self.ask_for_probes(number);
    }

    /// Shows a full-information policy how things are.
    fn reveal(&mut self, dispatcher: u32) {
        let zone = self.dispatchers[dispatcher as usize].zone;
        let (now, delays) = (self.now, self.delays);
        self.truth.clear();
        self.truth.extend(self.servers.iter().map(|server| Truth {
            serving: server.is_serving() && !server.draining,
            backlog_s: server.backlog_s(now) + server.going_work_s.max(0.0),
            in_flight: server.in_flight() + server.going,
            cores: server.cores(),
            slowdown: server.slowdown(),
            failing: server.failing,
            zone: server.zone,
            network_s: (delays[usize::from(server.zone != zone)] + server.connect / 2) as f64 / 1e9,
        }));
    }

    fn reach(&mut self, ticket: Ticket) {
        let now = self.now;
        let flight = self.flights.of_mut(ticket);
        let number = flight.server;
        let server = &mut self.servers[number as usize];
        server.going -= 1;
        server.going_work_s -= flight.work_s;
        if flight.abandoned {
            self.flights.remove(ticket);
            return;
        }
        if server.crashed || server.left {
            self.respond(ticket, Outcome::ConnectFailure, false);
            return;
        }
        let fails = server.failing > 0.0
            && !server.hung
            && self.failures[number as usize].unit() < server.failing;
        if fails {
            server.reporting.failed();
            self.respond(ticket, Outcome::ServerError, true);
            return;
        }
        match server.enter(now, ticket, &mut self.flights) {
            Admitted::In => self.reschedule(number),
            Admitted::Full => {
                server.reporting.failed();
                self.respond(ticket, Outcome::GatewayError, true);
            }
        }
    }

    /// The server's next completion has moved.
    fn reschedule(&mut self, server: u32) {
        let at = self.servers[server as usize].next_finish(&self.flights);
        self.agenda.set_finish(server, at.max(self.now));
    }

    fn finish(&mut self, number: u32) {
        let server = &mut self.servers[number as usize];
        if let Some(ticket) = server.finish(self.now, &mut self.flights) {
            let flight = self.flights.of(ticket);
            let time_s = (self.now - flight.reached) as f64 / 1e9;
            server.reporting.answered(time_s, flight.found);
            self.respond(ticket, Outcome::Success, true);
        }
        self.reschedule(number);
    }

    /// Sends an answer, or word of a broken connection, to the dispatcher.
    fn respond(&mut self, ticket: Ticket, outcome: Outcome, answers: bool) {
        let number = self.flights.of(ticket).server;
        let report = if answers {
            self.report_with_answer(number, outcome)
        } else {
            None
        };
        let flight = self.flights.of_mut(ticket);
        flight.stage = Stage::Returning;
        flight.outcome = outcome;
        flight.report = report;
        let way = self.way(self.flights.of(ticket).dispatcher, number);
        let at = self.now + self.delays[way as usize];
        self.agenda.send(at, way, Event::Answer(ticket));
    }

    fn way(&self, dispatcher: u32, server: u32) -> Way {
        let dispatcher = &self.dispatchers[dispatcher as usize];
        match self.servers[server as usize].zone == dispatcher.zone {
            true => Way::Local,
            false => Way::Remote,
        }
    }

    fn answer(&mut self, ticket: Ticket) {
        let flight = self.flights.of(ticket);
        if flight.abandoned {
            self.flights.remove(ticket);
            return;
        }
        let (outcome, tries) = (flight.outcome, usize::from(flight.tries));
        self.recorder.reports += u64::from(flight.report.is_some() && self.is_measured());
        self.complete(ticket, outcome);
        let flight = self.flights.of_mut(ticket);
        match outcome {
            Outcome::Success => {
                if flight.measured {
                    let latency = self.now - flight.arrived;
                    self.recorder
                        .succeeded(latency, flight.tenant, flight.work_s);
                }
                self.end(ticket);
            }
            Outcome::ConnectFailure | Outcome::Reset if tries < MOST_TRIES => {
                flight.stage = Stage::Waiting;
                let ceiling_s = BACKOFF_S * f64::from(1_u32 << (tries - 1));
                let pause = seconds(draws::uniform(&mut self.jitter, 0.0, ceiling_s));
                self.agenda.add(self.now + pause, Event::Retry(ticket));
            }
            _ => self.end(ticket),
        }
    }

    /// Tells the policy how an attempt ended.
    fn complete(&mut self, ticket: Ticket, outcome: Outcome) {
        let flight = self.flights.of(ticket);
        let done = Done {
            attempt: ticket.slot,
            server: flight.server,
            class: flight.class,
            sent: Time::from_nanos(flight.sent),
            outcome,
            report: flight.report.filter(|_| outcome != Outcome::Timeout),
        };
        let time = Time::from_nanos(self.now);
        let dispatcher = &mut self.dispatchers[flight.dispatcher as usize];
        dispatcher.policy.complete(time, &done, &mut dispatcher.rng);
    }

    /// Forgets a request that no server holds.
    fn end(&mut self, ticket: Ticket) {
        let flight = self.flights.of(ticket);
        self.open -= u64::from(flight.measured);
        let outcome = flight.outcome;
        self.release(ticket, outcome);
        self.flights.remove(ticket);
    }

    fn miss(&mut self, ticket: Ticket) {
        let Some(flight) = self.flights.find(ticket) else {
            return;
        };
        if flight.measured {
            self.recorder.timed_out(self.deadline);
        }
        if flight.stage == Stage::Waiting {
            flight.outcome = Outcome::Timeout;
            self.end(ticket);
            return;
        }
        flight.abandoned = true;
        self.open -= u64::from(flight.measured);
        let (dispatcher, server) = (flight.dispatcher, flight.server);
        if flight.stage != Stage::Returning {
            let way = self.way(dispatcher, server);
            let at = self.now + self.delays[way as usize];
            self.agenda.send(at, way, Event::Cancel(ticket));
        }
        self.complete(ticket, Outcome::Timeout);
        self.release(ticket, Outcome::Timeout);
    }

    fn cancel(&mut self, ticket: Ticket) {
        let Some(flight) = self.flights.find(ticket) else {
            return;
        };
        // One that is still on its way, or whose answer is, goes when that arrives.
        if !matches!(flight.stage, Stage::Queued | Stage::Served) {
            return;
        }
        let server = flight.server;
        self.servers[server as usize].abandon(self.now, ticket, &mut self.flights);
        self.flights.remove(ticket);
        self.reschedule(server);
    }

    fn tick(&mut self, number: u32) {
        let time = self.time();
        let dispatcher = &mut self.dispatchers[number as usize];
        if dispatcher.tick != self.now {
            // A plan that was changed since.
            return;
        }
        dispatcher.tick = agenda::NEVER;
        dispatcher.policy.tick(time, &mut dispatcher.rng);
        self.plan_tick(number);
        self.ask_for_probes(number);
    }

    fn plan_tick(&mut self, number: u32) {
        let dispatcher = &mut self.dispatchers[number as usize];
        if let Some(at) = dispatcher.policy.next_tick() {
            let at = at.as_nanos().max(self.now + 1);
            if at < dispatcher.tick {
                dispatcher.tick = at;
                self.agenda.add(at, Event::Tick { dispatcher: number });
            }
        }
    }

    fn sample(&mut self) {
        self.agenda.add(self.now + seconds(SAMPLE_S), Event::Sample);
        for number in 0..self.servers.len() {
            let server = &mut self.servers[number];
            server.sample(self.now, SAMPLE_S);
            if server.is_warming_up(self.now) {
                server.retune(self.now);
                self.reschedule(number as u32);
            }
        }
        if self.is_measured() {
            let serving = self.servers.iter().filter(|server| server.is_serving());
            self.recorder.in_flight(serving.map(Server::in_flight));
        }
    }

    /// Work that each server has done and could have done.
    fn totals(&mut self) -> Vec<(f64, f64)> {
        let now = self.now;
        self.servers
            .iter_mut()
            .map(|server| server.totals_s(now))
            .collect()
    }

    fn figures(&self) -> Figures {
        let [before, after] = &self.totals_s;
        let work: Vec<(f64, f64)> = after
            .iter()
            .enumerate()
            .map(|(number, &(done, possible))| {
                let (done_before, possible_before) =
                    before.get(number).copied().unwrap_or_default();
                (done - done_before, possible - possible_before)
            })
            // One that hardly served says nothing of how even the load was.
            .filter(|&(_, possible)| possible > 0.01 * self.scenario.server.cores)
            .collect();
        let weights: Vec<f64> = self
            .scenario
            .tenant
            .iter()
            .map(|tenant| tenant.weight)
            .collect();
        let measured_s = (self.end - self.begin) as f64 / 1e9;
        self.recorder.figures(measured_s, &work, &weights)
    }

    /// What an answer of `server` carries.
    fn report_with_answer(&mut self, server: u32, outcome: Outcome) -> Option<alba::LoadReport> {
        if self.scenario.reports.by != crate::scenario::ReportsBy::WithAnswers {
            return None;
        }
        let told = self.servers[server as usize].failing_reports;
        match told {
            Some(FailingReports::None) if outcome == Outcome::ServerError => None,
            Some(FailingReports::Empty) if outcome == Outcome::ServerError => {
                Some(alba::LoadReport {
                    in_flight: Some(0),
                    utilization: Some(0.0),
                    ..alba::LoadReport::default()
                })
            }
            _ => self.report(server),
        }
    }

    /// What `server` tells of its load; `None` if it is lost.
    fn report(&mut self, server: u32) -> Option<alba::LoadReport> {
        let reports = &self.scenario.reports;
        if reports.lost > 0.0 && self.reports.unit() < reports.lost {
            return None;
        }
        let server = &mut self.servers[server as usize];
        if reports.age_s > 0.0 {
            let age_s = draws::uniform(&mut self.reports, 0.0, reports.age_s);
            return server.reporting.past(age_s, SAMPLE_S);
        }
        let in_flight = server.in_flight();
        Some(server.reporting.report(in_flight, server.draining))
    }
}
