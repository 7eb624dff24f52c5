//! Admission under overload, in a small world: dispatchers that know nothing of each other, servers that
//! share their cores among all they hold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use alba::{
    Admission, AdmissionSettings, Decision, Finished, Outcome, Rng, TenantId, Ticket, Time,
};

/// A tenant of the world.
#[derive(Clone, Copy)]
struct Tenant {
    weight: f64,
    /// Of the capacity of all servers.
    load: f64,
    class: u32,
    /// Mean seconds of one core.
    cost_s: f64,
}

struct Setup {
    servers: usize,
    cores: f64,
    dispatchers: usize,
    tenants: Vec<Tenant>,
    deadline: Duration,
    seconds: f64,
    admits: bool,
    seed: u64,
}

/// What came out, counted in the second half of the time.
#[derive(Debug, Default)]
struct Measured {
    /// Work of answers in time, per tenant, as a share of the capacity.
    work: Vec<f64>,
    /// Mean seconds from arrival to an answer in time, per tenant.
    latency_s: Vec<f64>,
    refused: u64,
    /// The limit that each dispatcher ended with.
    limits: Vec<Option<u32>>,
}

impl Measured {
    fn goodput(&self) -> f64 {
        self.work.iter().sum()
    }

    /// Jain's index of work per weight.
    fn jain(&self, setup: &Setup) -> f64 {
        let pairs = self.work.iter().zip(&setup.tenants);
        let shares: Vec<f64> = pairs.map(|(work, tenant)| work / tenant.weight).collect();
        let sum: f64 = shares.iter().sum();
        let squares: f64 = shares.iter().map(|share| share * share).sum();
        sum * sum / (shares.len() as f64 * squares)
    }
}

#[derive(Clone, Copy)]
struct Job {
    dispatcher: usize,
    tenant: usize,
    arrived: f64,
    work_s: f64,
}

/// Processor sharing: `served` is what each job has got so far since the server began.
#[derive(Default)]
struct Server {
    at: f64,
    served: f64,
    jobs: BinaryHeap<Reverse<(u64, usize)>>,
    version: u64,
}

impl Server {
    fn advance(&mut self, now: f64, cores: f64) {
        if !self.jobs.is_empty() {
            self.served += (now - self.at) * (cores / self.jobs.len() as f64).min(1.0);
        }
        self.at = now;
    }

    fn next_end(&self, cores: f64) -> Option<f64> {
        let Reverse((end, _)) = self.jobs.peek()?;
        let left = (f64::from_bits(*end) - self.served).max(0.0);
        Some(self.at + left / (cores / self.jobs.len() as f64).min(1.0))
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival { dispatcher: usize, tenant: usize },
    End { server: usize, version: u64 },
    Expiry { dispatcher: usize },
}

struct World<'a> {
    setup: &'a Setup,
    rng: Rng,
    now: f64,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    servers: Vec<Server>,
    admissions: Vec<Admission>,
    waiting: Vec<BTreeMap<u64, Job>>,
    expiry_planned: Vec<bool>,
    jobs: Vec<Option<(Job, Ticket, f64)>>,
    free: Vec<usize>,
    measured: Measured,
    answers: Vec<u64>,
}

impl<'a> World<'a> {
    fn new(setup: &'a Setup) -> Self {
        let mut settings = AdmissionSettings::default();
        for (id, tenant) in (0..).zip(&setup.tenants) {
            settings.weights.insert(TenantId(id), tenant.weight);
        }
        let tenants = setup.tenants.len();
        Self {
            setup,
            rng: Rng::seeded(setup.seed),
            now: 0.0,
            events: BinaryHeap::new(),
            servers: (0..setup.servers).map(|_| Server::default()).collect(),
            admissions: (0..setup.dispatchers)
                .map(|_| Admission::new(settings.clone()))
                .collect(),
            waiting: vec![BTreeMap::new(); setup.dispatchers],
            expiry_planned: vec![false; setup.dispatchers],
            jobs: Vec::new(),
            free: Vec::new(),
            measured: Measured {
                work: vec![0.0; tenants],
                latency_s: vec![0.0; tenants],
                ..Measured::default()
            },
            answers: vec![0; tenants],
        }
    }

    fn run(mut self) -> Measured {
        for dispatcher in 0..self.setup.dispatchers {
            for tenant in 0..self.setup.tenants.len() {
                self.plan_arrival(dispatcher, tenant);
            }
        }
        while let Some(Reverse((at, event))) = self.events.pop() {
            self.now = f64::from_bits(at);
            if self.now > self.setup.seconds {
                break;
            }
            match event {
                Event::Arrival { dispatcher, tenant } => self.arrival(dispatcher, tenant),
                Event::End { server, version } => self.end(server, version),
                Event::Expiry { dispatcher } => self.expiry(dispatcher),
            }
        }
        let capacity = self.setup.servers as f64 * self.setup.cores * self.setup.seconds / 2.0;
        for tenant in 0..self.setup.tenants.len() {
            self.measured.work[tenant] /= capacity;
            self.measured.latency_s[tenant] /= self.answers[tenant].max(1) as f64;
        }
        self.measured.limits = self.admissions.iter().map(Admission::limit).collect();
        self.measured
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -(1.0 - self.rng.unit()).ln() * mean
    }

    fn time(&self) -> Time {
        Time::ZERO + Duration::from_secs_f64(self.now)
    }

    fn plan(&mut self, at: f64, event: Event) {
        self.events.push(Reverse((at.to_bits(), event)));
    }

    fn plan_arrival(&mut self, dispatcher: usize, tenant: usize) {
        let Tenant { load, cost_s, .. } = self.setup.tenants[tenant];
        let capacity = self.setup.servers as f64 * self.setup.cores / cost_s;
        let every = self.setup.dispatchers as f64 / (capacity * load);
        let at = self.now + self.exponential(every);
        self.plan(at, Event::Arrival { dispatcher, tenant });
    }

    fn arrival(&mut self, dispatcher: usize, tenant: usize) {
        self.plan_arrival(dispatcher, tenant);
        let Tenant { class, cost_s, .. } = self.setup.tenants[tenant];
        let job = Job {
            dispatcher,
            tenant,
            arrived: self.now,
            work_s: self.exponential(cost_s),
        };
        let now = self.time();
        if !self.setup.admits {
            let open = Admission::new(AdmissionSettings::default());
            let Decision::Admit(ticket) = open.arrive(TenantId(0), 0, None, now) else {
                unreachable!("there is no limit yet");
            };
            self.send(job, ticket);
            return;
        }
        let deadline = Some(now + self.setup.deadline);
        let admission = &self.admissions[dispatcher];
        match admission.arrive(TenantId(tenant as u64), class, deadline, now) {
            Decision::Admit(ticket) => self.send(job, ticket),
            Decision::Queue(number) => {
                self.waiting[dispatcher].insert(number, job);
                self.plan_expiry(dispatcher);
            }
            Decision::Refuse => self.measured.refused += 1,
        }
    }

    /// At most one is planned at a time.
    fn plan_expiry(&mut self, dispatcher: usize) {
        if !self.expiry_planned[dispatcher]
            && let Some(due) = self.admissions[dispatcher].poll_timeout()
        {
            let at = (due.as_nanos() as f64 / 1e9).max(self.now) + 1e-6;
            self.plan(at, Event::Expiry { dispatcher });
            self.expiry_planned[dispatcher] = true;
        }
    }

    fn expiry(&mut self, dispatcher: usize) {
        self.expiry_planned[dispatcher] = false;
        for number in self.admissions[dispatcher].handle_timeout(self.time()) {
            let known = self.waiting[dispatcher].remove(&number);
            assert!(known.is_some(), "only what waits expires");
            self.measured.refused += 1;
        }
        self.plan_expiry(dispatcher);
    }

    /// To the less loaded of two servers.
    fn send(&mut self, job: Job, ticket: Ticket) {
        let [a, b] = [0; 2].map(|_| self.rng.below(self.servers.len() as u32) as usize);
        let fuller = self.servers[a].jobs.len() > self.servers[b].jobs.len();
        let at = if fuller { b } else { a };
        let id = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() - 1
        });
        let server = &mut self.servers[at];
        server.advance(self.now, self.setup.cores);
        let end = (server.served + job.work_s).to_bits();
        server.jobs.push(Reverse((end, id)));
        self.jobs[id] = Some((job, ticket, self.now));
        self.plan_end(at);
    }

    fn plan_end(&mut self, server: usize) {
        self.servers[server].version += 1;
        let version = self.servers[server].version;
        if let Some(at) = self.servers[server].next_end(self.setup.cores) {
            self.plan(at, Event::End { server, version });
        }
    }

    fn end(&mut self, at: usize, version: u64) {
        let server = &mut self.servers[at];
        if server.version != version {
            return;
        }
        server.advance(self.now, self.setup.cores);
        let Some(Reverse((_, id))) = server.jobs.pop() else {
            return;
        };
        self.plan_end(at);
        let (job, ticket, sent) = self.jobs[id].take().expect("the job is known");
        self.free.push(id);
        let total = self.now - job.arrived;
        let in_time = total <= self.setup.deadline.as_secs_f64();
        if in_time && self.now > self.setup.seconds / 2.0 {
            self.measured.work[job.tenant] += job.work_s;
            self.measured.latency_s[job.tenant] += total;
            self.answers[job.tenant] += 1;
        }
        if !self.setup.admits {
            return;
        }
        let finished = Finished {
            outcome: if in_time {
                Outcome::Success
            } else {
                Outcome::Timeout
            },
            latency: Duration::from_secs_f64(self.now - sent),
            cost: None,
        };
        let now = self.time();
        self.admissions[job.dispatcher].complete(ticket, finished, now);
        while let Some(ticket) = self.admissions[job.dispatcher].next(now) {
            let job = self.waiting[job.dispatcher].remove(&ticket.number);
            self.send(job.expect("only what waits goes"), ticket);
        }
    }
}

fn tenant(weight: f64, load: f64) -> Tenant {
    Tenant {
        weight,
        load,
        class: 0,
        cost_s: 0.01,
    }
}

fn setup(servers: usize, dispatchers: usize, cores: f64, tenants: &[Tenant], seed: u64) -> Setup {
    Setup {
        servers,
        cores,
        dispatchers,
        tenants: tenants.to_vec(),
        deadline: Duration::from_millis(500),
        seconds: 8.0,
        admits: true,
        seed,
    }
}

/// Sizes of worlds: servers, dispatchers, cores of a server.
const SIZES: [(usize, usize, f64); 3] = [(100, 100, 1.0), (10, 3, 4.0), (10, 30, 1.0)];

fn run(size: (usize, usize, f64), tenants: &[Tenant]) -> (Setup, Measured) {
    let (servers, dispatchers, cores) = size;
    let setup = setup(servers, dispatchers, cores, tenants, 3);
    let measured = World::new(&setup).run();
    (setup, measured)
}

#[test]
fn without_overload_nothing_waits() {
    for size in SIZES {
        for load in [0.5, 0.85] {
            let (_, measured) = run(size, &[tenant(1.0, load / 2.0), tenant(5.0, load / 2.0)]);
            assert_eq!(measured.refused, 0, "{size:?}: {measured:?}");
            assert!(measured.limits.iter().all(Option::is_none), "{measured:?}");
            assert!((measured.goodput() - load).abs() < 0.03, "{measured:?}");
        }
    }
}

#[test]
fn overload_without_admission_leaves_nothing_in_time() {
    let mut setup = setup(10, 3, 4.0, &[tenant(1.0, 2.0)], 3);
    setup.admits = false;
    let measured = World::new(&setup).run();
    assert!(
        measured.goodput() < 0.1,
        "the world is hard enough: {measured:?}"
    );
}

#[test]
fn backlogged_tenants_get_work_by_weight_and_capacity_is_used() {
    for size in SIZES {
        for weights in [[1.0, 1.0], [1.0, 3.0]] {
            let (setup, measured) = run(size, &weights.map(|weight| tenant(weight, 1.0)));
            let jain = measured.jain(&setup);
            // Where a dispatcher's part is a third of a server, a backlog of 100 ms is a few requests, and
            // sometimes none; and a limit is a number like 3.
            let least = if size == SIZES[2] { 0.92 } else { 0.95 };
            assert!(jain >= least, "{size:?} {weights:?}: {jain} {measured:?}");
            let goodput = measured.goodput();
            assert!(
                goodput >= least,
                "{size:?} {weights:?}: {goodput} {measured:?}"
            );
        }
    }
}

#[test]
fn a_tenant_within_its_share_does_not_feel_one_that_offers_ten_times_as_much() {
    for size in SIZES {
        for load in [1.2, 2.0] {
            let small = load / 11.0;
            let (_, measured) = run(size, &[tenant(1.0, small), tenant(1.0, 10.0 * small)]);
            assert!(
                measured.work[0] > small * 0.8,
                "{size:?} {load}: {measured:?}"
            );
            assert!(measured.goodput() >= 0.92, "{size:?} {load}: {measured:?}");
        }
    }
}

#[test]
fn what_a_tenant_does_not_want_others_may_have() {
    let (_, measured) = run(SIZES[1], &[tenant(99.0, 0.1), tenant(1.0, 1.9)]);
    assert!(measured.work[1] > 0.85, "{measured:?}");
}

#[test]
fn shares_are_of_work_and_not_of_requests() {
    let dear = Tenant {
        class: 1,
        cost_s: 0.02,
        ..tenant(1.0, 1.0)
    };
    let (setup, measured) = run(SIZES[1], &[tenant(1.0, 1.0), dear]);
    assert!(measured.jain(&setup) >= 0.95, "{measured:?}");
}

/// A limit of one, with nothing waiting and nothing in flight.
fn limited(settings: AdmissionSettings) -> (Admission, Time) {
    let admission = Admission::new(settings);
    let mut now = Time::ZERO;
    let mut held = Vec::new();
    while admission.limit() != Some(1) {
        now = now + Duration::from_secs(1);
        let deadline = Some(now + Duration::from_millis(10));
        if let Decision::Admit(ticket) = admission.arrive(TenantId(0), 0, deadline, now) {
            held.push(ticket);
        }
        if held.len() > 1 || admission.limit().is_some() {
            admission.complete(held.pop().expect("one was admitted"), slow(), now);
        }
        assert!(
            now < Time::ZERO + Duration::from_secs(10_000),
            "{admission:?}"
        );
    }
    for ticket in held {
        admission.complete(ticket, slow(), now);
    }
    assert_eq!((admission.in_flight(), admission.waiting()), (0, 0));
    (admission, now)
}

fn slow() -> Finished {
    Finished {
        outcome: Outcome::Timeout,
        latency: Duration::from_secs(1),
        cost: None,
    }
}

fn cancelled() -> Finished {
    Finished {
        outcome: Outcome::Cancelled,
        ..slow()
    }
}

fn admitted(decision: Decision) -> Ticket {
    match decision {
        Decision::Admit(ticket) => ticket,
        other => panic!("expected admission, not {other:?}"),
    }
}

fn queued(decision: &Decision) -> u64 {
    match decision {
        Decision::Queue(number) => *number,
        other => panic!("expected a place in the queue, not {other:?}"),
    }
}

#[test]
fn turns_go_by_weight() {
    let mut settings = AdmissionSettings::default();
    settings.weights.insert(TenantId(1), 3.0);
    let (admission, now) = limited(settings);
    let mut busy = admitted(admission.arrive(TenantId(9), 0, None, now));
    let mut owner = BTreeMap::new();
    for _ in 0..40 {
        for tenant in [TenantId(1), TenantId(2)] {
            owner.insert(queued(&admission.arrive(tenant, 0, None, now)), tenant);
        }
    }
    assert_eq!(admission.next(now), None, "there is no room");
    let mut turns = [0; 2];
    for _ in 0..40 {
        admission.complete(busy, cancelled(), now);
        busy = admission.next(now).expect("others wait");
        assert_eq!(owner.get(&busy.number), Some(&busy.tenant));
        turns[usize::from(busy.tenant == TenantId(2))] += 1;
    }
    assert_eq!(turns, [30, 10]);
    admission.complete(busy, cancelled(), now);
}

#[test]
fn waits_and_queues_are_bounded() {
    let mut settings = AdmissionSettings::default();
    settings.max_waiting = 2;
    settings.max_wait = Duration::from_millis(50);
    let (admission, now) = limited(settings);
    let busy = admitted(admission.arrive(TenantId(1), 0, None, now));
    let soon = Some(now + Duration::from_millis(20));
    let first = queued(&admission.arrive(TenantId(1), 0, None, now));
    let second = queued(&admission.arrive(TenantId(1), 0, soon, now));
    assert_eq!(
        admission.arrive(TenantId(1), 0, None, now),
        Decision::Refuse
    );
    let other = queued(&admission.arrive(TenantId(2), 0, None, now));

    assert_eq!(admission.poll_timeout(), soon);
    assert_eq!(admission.handle_timeout(now), []);
    assert_eq!(
        admission.handle_timeout(now + Duration::from_millis(20)),
        [second]
    );
    assert_eq!(
        admission.poll_timeout(),
        Some(now + Duration::from_millis(50))
    );
    assert!(admission.withdraw(TenantId(2), other));
    assert!(!admission.withdraw(TenantId(2), other));
    assert_eq!(
        admission.handle_timeout(now + Duration::from_millis(50)),
        [first]
    );
    assert_eq!((admission.poll_timeout(), admission.waiting()), (None, 0));
    admission.complete(busy, cancelled(), now);
    assert_eq!(admission.next(now), None);
}

#[test]
fn the_newest_goes_first_once_a_tenant_has_waited_for_long() {
    let (admission, mut now) = limited(AdmissionSettings::default());
    let busy = admitted(admission.arrive(TenantId(1), 0, None, now));
    let mut numbers = Vec::new();
    for _ in 0..12 {
        numbers.push(queued(&admission.arrive(TenantId(1), 0, None, now)));
        now = now + Duration::from_millis(10);
    }
    admission.complete(busy, cancelled(), now);
    let next = admission.next(now).expect("others wait");
    assert_eq!(Some(&next.number), numbers.last());
    admission.complete(next, cancelled(), now);
}

#[test]
fn a_limit_goes_when_nobody_needs_it() {
    let (admission, mut now) = limited(AdmissionSettings::default());
    let mut answers = 0;
    while admission.limit().is_some() {
        let deadline = Some(now + Duration::from_secs(1));
        let ticket = admitted(admission.arrive(TenantId(1), 0, deadline, now));
        now = now + Duration::from_millis(10);
        let quick = Finished {
            outcome: Outcome::Success,
            latency: Duration::from_millis(10),
            cost: None,
        };
        admission.complete(ticket, quick, now);
        answers += 1;
        assert!(answers < 1_000, "{admission:?}");
    }
}

#[test]
fn those_that_never_end_do_not_keep_others_out_for_ever() {
    let (admission, mut now) = limited(AdmissionSettings::default());
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(admitted(admission.arrive(TenantId(1), 0, None, now)));
        assert_eq!(admission.next(now), None);
        let waits = queued(&admission.arrive(TenantId(2), 0, None, now));
        now = now + Duration::from_millis(100);
        let next = admission.next(now).expect("nothing has completed");
        assert_eq!(next.number, waits);
        held.push(next);
        now = now + Duration::from_millis(100);
    }
    // And answers that come soon end the limit, though so much more than it is in flight.
    let mut answers = 0;
    while admission.limit().is_some() {
        let deadline = Some(now + Duration::from_secs(1));
        if let Decision::Admit(ticket) = admission.arrive(TenantId(1), 0, deadline, now) {
            let quick = Finished {
                outcome: Outcome::Success,
                latency: Duration::from_millis(10),
                cost: None,
            };
            admission.complete(ticket, quick, now);
        }
        now = now + Duration::from_millis(100);
        admission.handle_timeout(now);
        answers += 1;
        assert!(answers < 1_000, "{admission:?}");
    }
}

#[test]
fn failing_at_once_and_leaving_are_no_overload() {
    let admission = Admission::new(AdmissionSettings::default());
    for outcome in [
        Outcome::Cancelled,
        Outcome::ConnectFailure,
        Outcome::GatewayError,
    ] {
        for _ in 0..1_000 {
            let deadline = Some(Time::ZERO + Duration::from_millis(1));
            let ticket = admitted(admission.arrive(TenantId(1), 0, deadline, Time::ZERO));
            admission.complete(ticket, Finished { outcome, ..slow() }, Time::ZERO);
        }
    }
    assert_eq!((admission.limit(), admission.in_flight()), (None, 0));
}

#[test]
fn counts_add_up_under_contention() {
    let (admission, now) = limited(AdmissionSettings::default());
    let answered = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (admission, answered) = (&admission, &answered);
            scope.spawn(move || {
                let mut rng = Rng::seeded(worker);
                let mut now = now;
                let mut held = Vec::new();
                for _ in 0..5_000 {
                    now = now + Duration::from_micros(200);
                    let deadline = Some(now + Duration::from_millis(u64::from(rng.below(50))));
                    let tenant = TenantId(u64::from(rng.below(3)));
                    if let Decision::Admit(ticket) = admission.arrive(tenant, 0, deadline, now) {
                        held.push(ticket);
                    }
                    if rng.below(2) == 0
                        && let Some(ticket) = held.pop()
                    {
                        let latency = Duration::from_micros(u64::from(rng.below(20_000)));
                        let done = Finished { latency, ..slow() };
                        admission.complete(ticket, done, now);
                        answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                    held.extend(admission.next(now));
                    admission.handle_timeout(now);
                }
                for ticket in held {
                    admission.complete(ticket, cancelled(), now);
                }
            });
        }
    });
    assert!(answered.into_inner() > 1_000);
    assert_eq!(admission.in_flight(), 0);
    admission.handle_timeout(now + Duration::from_secs(3_600));
    assert_eq!((admission.waiting(), admission.poll_timeout()), (0, None));
}
