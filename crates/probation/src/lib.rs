//! Whether a new configuration hurts, decided from counts.
//!
//! A [`Probation`] takes one [`Tick`] after another (every 200 ms: requests, failures, rejections, latencies of the
//! new generation) and gives a [`Verdict`] whenever it is asked: go on, promote, roll back with reasons and numbers,
//! or inconclusive. One may look after every tick: the tests are valid at all times at once.
//!
//! ```
//! use probation::{Counts, Design, Gate, Probation, Tick, Verdict};
//!
//! let counts = |requests, failures| Counts { requests, failures, ..Counts::default() };
//! // 60 s before the swap, 100 requests per tick, none failed.
//! let before = Design::Before { baseline: vec![counts(100, 0); 300], busy: 0.3 };
//! let mut probation = Probation::new(Gate::default(), before)?;
//! // Since then, 2 % fail.
//! let mut seconds = 0.0;
//! while probation.verdict(false) == Verdict::Continue {
//!     probation.observe(&Tick { new: counts(100, 2), busy: 0.3, ..Tick::default() });
//!     seconds += 0.2;
//! }
//! let Verdict::RollBack(reasons) = probation.verdict(false) else { unreachable!() };
//! assert!(reasons[0].to_string().starts_with("2.0 % of "));
//! assert!(seconds < 3.0, "{seconds}");
//! # Ok::<(), probation::DesignError>(())
//! ```
//!
//! It reads no clock, does no I/O and draws nothing. The caller makes ticks, keeps the deadline, and does what the
//! verdict says.

mod before;
mod beta;
mod burst;
mod canary;
mod confidence;
mod counts;
mod dispersion;
mod e_value;
mod evidence;
mod gate;
mod histogram;
mod probation;
mod saturation;
mod signal;
mod verdict;

pub use confidence::Interval;
pub use counts::{Counts, Design, TICKS_PER_SECOND, Tick};
pub use evidence::{ArmEvidence, Evidence, SignalEvidence};
pub use gate::{Gate, GateError, Slack};
pub use histogram::Histogram;
pub use probation::{DesignError, Probation};
pub use signal::{Signal, Thresholds};
pub use verdict::{Doubt, Harm, Reason, Share, Verdict};
