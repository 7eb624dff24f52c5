//! What a world is like: decoded from a small TOML file.
//!
//! Times are seconds since the measured time began; what happens before is warm-up. Anything that is not
//! said has a default that is written here with its reason.

mod builtin;
mod document;
mod ranges;
#[cfg(test)]
mod tests;

use serde::Deserialize;

pub use builtin::{builtin, names};
pub use document::{ScenarioError, decode};

/// One world, without its size and its policy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// `file` or `file/variant`.
    #[serde(skip)]
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// Work that is offered, as a share of what all allocations of the servers at the start can do.
    pub load: f64,
    /// Seconds before measuring begins. 5 s lets queues, moving averages and probe pools settle.
    #[serde(default = "five")]
    pub warm_up_s: f64,
    /// Measured seconds, at 100 servers. 20 s are some 300,000 requests there, enough for a p99.9.
    #[serde(default = "twenty")]
    pub measured_s: f64,
    /// With fewer servers, measure longer (by the square root of how many fewer), since fewer requests
    /// come. Off where the scenario has a timetable.
    #[serde(default = "yes")]
    pub stretch: bool,
    /// A request that takes longer is an error, and its work is abandoned. 5 s, as in Prequal's runs.
    #[serde(default = "deadline")]
    pub deadline_ms: f64,
    /// Dispatchers, whatever the size says.
    pub dispatchers: Option<u32>,
    /// How requests come.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// What one request costs.
    #[serde(default)]
    pub work: Work,
    /// Kinds of requests (routes). None is one of cost 1.
    #[serde(default)]
    pub class: Vec<Class>,
    /// What an ordinary server is.
    #[serde(default)]
    pub server: ServerModel,
    /// Servers that differ, from number 0 on in this order.
    #[serde(default)]
    pub group: Vec<Group>,
    /// Neighbours that take capacity.
    pub antagonists: Option<Antagonists>,
    /// Delays between dispatchers and servers.
    #[serde(default)]
    pub network: Network,
    /// What servers tell of their load.
    #[serde(default)]
    pub reports: Reports,
    /// What dispatchers tell each other.
    #[serde(default)]
    pub exchange: Exchange,
    /// Who shares the servers. None is one.
    #[serde(default)]
    pub tenant: Vec<Tenant>,
    /// Servers that come and go.
    #[serde(default)]
    pub change: Vec<Change>,
}

/// How requests come: Poisson, with a rate that may move. All factors multiply.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrivals {
    /// A sine around the load.
    pub diurnal: Option<Diurnal>,
    /// Times with another rate.
    #[serde(default)]
    pub step: Vec<Step>,
    /// A rate that moves evenly from 1 to a factor and stays there.
    pub ramp: Option<Step>,
    /// Share of users in each zone, who come to a dispatcher of their zone. Empty splits evenly over
    /// dispatchers.
    #[serde(default)]
    pub zone_shares: Vec<f64>,
}

/// A day, shortened.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diurnal {
    /// Length of a day.
    pub period_s: f64,
    /// How far the rate swings, as a share of its mean; below 1.
    pub amplitude: f64,
}

/// A time with another rate.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When it begins.
    pub from_s: f64,
    /// When it ends.
    pub until_s: f64,
    /// Times the usual rate.
    pub factor: f64,
}

/// What one request costs.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Work {
    /// Mean over all classes, in milliseconds of one unimpeded core. 20 ms is an ordinary request to an
    /// application server; with 4 cores it makes 200 requests per second and server.
    pub mean_ms: f64,
    /// How it varies within a class.
    pub law: Law,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            mean_ms: 20.0,
            law: Law::Exponential,
        }
    }
}

/// How work varies around its mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Law {
    /// Memoryless.
    Exponential,
    /// Normal with a deviation as large as its mean, truncated at 0 (Prequal §5) and scaled to the mean.
    Normal,
    /// Pareto of shape 1.5: finite mean, infinite variance.
    Pareto,
    /// Always the mean.
    Constant,
}

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// How often it comes, relative to the others.
    pub share: f64,
    /// What it costs, relative to the others.
    pub cost: f64,
}

/// What an ordinary server is: processor sharing, in which a request uses at most one core.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerModel {
    /// Cores that are its own. 4 is a common container, and enough that one heavy request does not stop
    /// all others.
    pub cores: f64,
    /// Cores that it may borrow while no antagonist uses them.
    pub spare: f64,
    /// Requests that it works on at once. 64 threads are 16 per core: more than latency wants, as in
    /// life, so that a bad choice shows as slowness first.
    pub concurrency: u32,
    /// Requests that wait in order behind these; further ones get 503 at once.
    pub queue: u32,
    /// For how long a server that joins later is slower, in seconds of its age.
    pub warm_up_s: f64,
    /// How much longer its work takes at age 0; falls evenly to 1.
    pub warm_up_factor: f64,
    /// How long a server that leaves goes on accepting while dispatchers learn of it.
    pub grace_s: f64,
}

impl Default for ServerModel {
    fn default() -> Self {
        Self {
            cores: 4.0,
            spare: 0.0,
            concurrency: 64,
            queue: 256,
            warm_up_s: 0.0,
            warm_up_factor: 1.0,
            grace_s: 5.0,
        }
    }
}

/// Servers that differ from the others.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How many, as a share of all, rounded, at least one. Either this or `count`.
    pub share: Option<f64>,
    /// How many.
    pub count: Option<u32>,
    /// When it begins; always without it.
    pub from_s: Option<f64>,
    /// When it ends; never without it.
    pub until_s: Option<f64>,
    /// How much longer work takes.
    pub slowdown: Option<f64>,
    /// How long connecting takes, in milliseconds; every attempt connects.
    pub connect_ms: Option<f64>,
    /// Share of requests that get 500 at once.
    pub failing: Option<f64>,
    /// What answers that failed at once say of the load. Usual reports if not said.
    pub failing_reports: Option<FailingReports>,
    /// What is wrong with it.
    pub state: Option<State>,
}

/// What answers that failed at once say of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailingReports {
    /// Nothing.
    None,
    /// That there is none.
    Empty,
}

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It accepts and never answers; probes neither.
    Hung,
    /// It refuses connections; what was in it is reset.
    Crashed,
    /// It says that it drains, and serves what comes.
    Draining,
}

/// Neighbours on the same machines.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Antagonists {
    /// Share of servers that have an active one, at any time.
    pub share: f64,
    /// Mean time for which one is active (exponential).
    pub state_s: f64,
    /// Least and greatest share of the spare cores that it takes; drawn anew each time.
    #[serde(default)]
    pub spare: [f64; 2],
    /// Least and greatest share of the allocated cores that it takes (caches and memory are not
    /// isolated).
    #[serde(default)]
    pub allocation: [f64; 2],
}

/// Delays between dispatchers and servers; constant, since jitter is small beside service times.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Zones, over which servers and dispatchers are spread in turn.
    pub zones: u32,
    /// One way within a zone: 0.25 ms is usual within a data centre, stacks included.
    pub one_way_ms: f64,
    /// Added to a round trip between zones.
    pub between_zones_ms: f64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            zones: 1,
            one_way_ms: 0.25,
            between_zones_ms: 2.0,
        }
    }
}

/// What servers tell of their load.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reports {
    /// On which way they come.
    pub by: ReportsBy,
    /// Probes are answered with a report. Without it they are answered with nothing.
    pub probes: bool,
    /// They tell how things were up to this long ago (uniform).
    pub age_s: f64,
    /// Share that is lost, also of probes.
    pub lost: f64,
    /// Time between reports that come by themselves.
    pub interval_s: f64,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            by: ReportsBy::WithAnswers,
            probes: true,
            age_s: 0.0,
            lost: 0.0,
            interval_s: 1.0,
        }
    }
}

/// On which way load reports come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportsBy {
    /// Not at all: unmodified servers.
    None,
    /// In each answer (ORCA per request).
    WithAnswers,
    /// By themselves, to every dispatcher (ORCA out-of-band).
    OutOfBand,
}

/// What dispatchers tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exchange {
    /// They do.
    pub on: bool,
    /// Time between rounds. 1 s is what an engine carries for 1000 dispatchers without effort.
    pub interval_s: f64,
    /// From being told to being known.
    pub delay_ms: f64,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            on: true,
            interval_s: 1.0,
            delay_ms: 50.0,
        }
    }
}

/// Someone who shares the servers.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// How many of the requests are its, relative to the others.
    pub share: f64,
    /// What it is entitled to, relative to the others.
    #[serde(default = "one")]
    pub weight: f64,
}

/// Servers that come and go. Dispatchers learn of it 1 s later, give or take half a second each.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When the first batch comes.
    pub at_s: f64,
    /// Batches.
    #[serde(default = "one_batch")]
    pub batches: u32,
    /// Time between batches.
    #[serde(default)]
    pub every_s: f64,
    /// Servers that join in all, as a share of those at the start.
    #[serde(default)]
    pub join: f64,
    /// Servers that drain and leave in all, oldest first, as a share of those at the start.
    #[serde(default)]
    pub leave: f64,
}

fn five() -> f64 {
    5.0
}

fn twenty() -> f64 {
    20.0
}

fn deadline() -> f64 {
    5000.0
}

fn one() -> f64 {
    1.0
}

fn one_batch() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// How many servers and dispatchers a world has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size {
    /// Servers at the start; at least 1.
    pub servers: u32,
    /// Dispatchers; at least 1.
    pub dispatchers: u32,
}

impl std::str::FromStr for Size {
    type Err = String;

    /// `100x100`: servers, then dispatchers.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse()
                .ok()
                .filter(|number| (1..=10_000).contains(number))
        };
        text.split_once('x')
            .and_then(|(servers, dispatchers)| {
                Some(Self {
                    servers: number(servers)?,
                    dispatchers: number(dispatchers)?,
                })
            })
            .ok_or_else(|| {
                format!("`{text}` is not a size: write SERVERSxDISPATCHERS, each 1 to 10000, as `100x100`")
            })
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}x{}", self.servers, self.dispatchers)
    }
}

impl Scenario {
    /// The size it has when asked for `size`.
    pub fn size(&self, size: Size) -> Size {
        Size {
            servers: size.servers,
            dispatchers: self.dispatchers.unwrap_or(size.dispatchers),
        }
    }

    /// How long is measured with so many servers, in seconds.
    pub fn measured_s(&self, servers: u32) -> f64 {
        let fewer = (100.0 / f64::from(servers)).max(1.0);
        self.measured_s * if self.stretch { fewer.sqrt() } else { 1.0 }
    }
}
