//! Which endpoint gets this request.
//!
//! A [`Balancer`] is an immutable list of endpoints plus state per endpoint that all threads share.
//! It does no I/O, reads no clock and draws no unseeded randomness: [`Time`] and [`Rng`] are arguments,
//! so the same code runs in the proxy, in the simulator and in `dalbi explain`.
//!
//! ```
//! use alba::{
//!     Balancer, Completion, Endpoint, EndpointId, Outcome, PickRequest, Policy, Rng, Settings, Time,
//! };
//! use std::time::Duration;
//!
//! let endpoints: Vec<_> = (1..=3).map(|id| Endpoint::new(EndpointId(id))).collect();
//! let balancer = Balancer::new(Settings::new(Policy::RoundRobin, None), &endpoints, Time::ZERO);
//! let mut rng = Rng::seeded(7);
//!
//! let sent = Time::ZERO;
//! let pick = balancer.pick(sent, &mut rng, &PickRequest::default()).expect("all are healthy");
//! assert!(pick.index() < 3);
//!
//! let answered = sent + Duration::from_millis(12);
//! balancer.complete(pick, Completion::new(Outcome::Success, answered).with_first_byte(answered));
//! assert_eq!(balancer.endpoints(answered).map(|endpoint| endpoint.successes).sum::<u64>(), 1);
//! ```
//!
//! Around the pick: [`Admission`] delays or refuses requests of tenants while there is too much to do, and
//! [`Forecast`] says how many are likely to come.
//!
//! What it refuses to do: open connections, send probes, look up names, keep timers. Whoever owns the
//! balancer calls [`Balancer::handle_timeout`] when [`Balancer::poll_timeout`] says so, and
//! [`Balancer::set_health`] with what its active checks found.

mod admission;
mod atomic_f32;
mod balancer;
mod candidates;
mod completion;
mod division;
mod endpoint;
mod ewma;
mod forecast;
mod learned;
mod outlier;
mod pick;
mod policy;
mod pool;
mod report;
mod rng;
mod settings;
mod slow_start;
mod stamped;
mod subset;
mod sums;
mod time;
mod wheel;

pub use admission::{Admission, AdmissionSettings, Decision, Finished, TenantId, Ticket};
pub use balancer::Balancer;
pub use completion::{Completion, Outcome};
pub use endpoint::{Endpoint, EndpointId, EndpointView, Locality};
pub use forecast::{Forecast, Prediction};
pub use learned::{Aged, Learned, LearnedEndpoint, LearnedLine, LearnedPool};
pub use pick::{Pick, PickRequest, Probe};
pub use policy::is_maglev_table_size;
pub use report::{LoadReport, Observation};
pub use rng::Rng;
pub use settings::{
    Alba, DistributeRule, FailoverRule, FailurePercentage, LoadBound, LocalityPolicy,
    OutlierDetection, Parts, Policy, Price, Settings, SlowStart, Subset, SuccessRate,
};
pub use time::Time;
