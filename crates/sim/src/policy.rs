//! What the world asks of a policy. Each dispatcher of a world owns one.

use alba::{LoadReport, Observation, Outcome, Rng, Time};

/// A server of the world, by its number; numbers are never used again.
pub type Server = u32;

/// One attempt that needs a server.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Names the attempt until it completes; small, and used again afterwards.
    pub attempt: u32,
    /// Servers that earlier attempts of the same request went to.
    pub tried: &'a [Server],
    /// Its class (route), from 0.
    pub class: u32,
    /// The zone its user is in.
    pub zone: u32,
    /// How things are. Only the oracle may look.
    pub truth: &'a [Truth],
}

/// A server as it is at this moment, which no dispatcher can know. Indexed by [`Server`].
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    /// It accepts requests and answers them.
    pub serving: bool,
    /// Work left in it, queued requests and those under way to it included, in seconds of one unimpeded
    /// core.
    pub backlog_s: f64,
    /// Requests in it, and under way to it.
    pub in_flight: u32,
    /// Cores it can use now: allocation and what can be borrowed.
    pub cores: f64,
    /// How much longer work takes than at full speed: warm-up, a slow machine; 1 is none.
    pub slowdown: f64,
    /// Share of requests that it fails.
    pub failing: f64,
    /// Zone it is in.
    pub zone: u32,
    /// One-way network delay from the asking dispatcher, in seconds.
    pub network_s: f64,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// As in [`Request::attempt`].
    pub attempt: u32,
    /// Where it went.
    pub server: Server,
    /// Its class.
    pub class: u32,
    /// When it was sent.
    pub sent: Time,
    /// How it ended.
    pub outcome: Outcome,
    /// What the answer carried.
    pub report: Option<LoadReport>,
}

/// Chooses servers for one dispatcher. Everything it learns comes through these calls.
pub trait Policy {
    /// The servers that may be used from now on, at the start and after each change; never empty.
    fn set_servers(&mut self, now: Time, servers: &[(Server, alba::Locality)], rng: &mut Rng);

    /// Where this attempt goes; `None` if there is nowhere to go.
    fn pick(&mut self, now: Time, request: &Request<'_>, rng: &mut Rng) -> Option<Server>;

    /// An attempt ended.
    fn complete(&mut self, now: Time, done: &Done, rng: &mut Rng);

    /// Servers to probe now. Asked after every pick and every [`tick`](Self::tick).
    fn probes(&mut self, _now: Time, _rng: &mut Rng, _out: &mut Vec<Server>) {}

    /// A probe came back; `None` if it was lost or not answered in time.
    fn probed(&mut self, _now: Time, _server: Server, _report: Option<&LoadReport>) {}

    /// A report that came by itself, not with an answer (ORCA out-of-band).
    fn reported(&mut self, _now: Time, _server: Server, _report: &LoadReport) {}

    /// When [`tick`](Self::tick) wants to be called next; asked after every call of it and at the start.
    fn next_tick(&self) -> Option<Time> {
        None
    }

    /// Something that was planned is due.
    fn tick(&mut self, _now: Time, _rng: &mut Rng) {}

    /// What it tells other dispatchers. Called once per exchange.
    fn observations(&mut self, _now: Time, _out: &mut Vec<Observation>) {}

    /// What all others told, added up per server; ids are server numbers.
    fn learn(&mut self, _now: Time, _others: &[Observation]) {}
}
