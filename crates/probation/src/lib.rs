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
//! # What is tested
//!
//! Each [`Signal`] has a kind of bad request: failed, answered 4xx, or slow at the old generation's p50, p90, p95, p99
//! or p99.9. Slow is what took longer than that quantile under the old one, and than the quantile and the gate's [`Slack`]
//! under the new one ([`Thresholds`]): if nothing became slower by more than the slack, the share of slow ones can't
//! have risen, so the null holds for all smaller harm exactly and not only for none.
//!
//! Each signal has an *e-value* `E`: at any time, its expectation is at most 1 if the new generation is not worse, so
//! it ever reaches `1/α` with probability at most `α` (Ville 1939; Ramdas, Grünwald, Vovk, Shafer 2023). The
//! signals' weighted mean `Σ wᵢ Eᵢ` is one too, however they depend on each other (Vovk and Wang 2021): the new one is
//! rolled back when that reaches `1/α`. Looking often costs nothing. Nine tenths of α are for all that happened since
//! the swap, the rest for what happened since later times, every 20 s, so that harm that begins late is not lost in
//! the good time before.
//!
//! [`Design::Canary`]: each request goes by lot, with probability `s`, to the new one. If it is not worse, each bad
//! event falls on it with probability at most `s`, whatever bursts and drifts there are, because both arms have them.
//! With `k` of `m` events on the new arm and `π` a Beta(1, ½) truncated to θ > s,
//!
//! ```text
//! E = ∫ₛ¹ (θ/s)ᵏ ((1-θ)/(1-s))ᵐ⁻ᵏ π(θ) dθ
//! ```
//!
//! in closed form by the incomplete beta function (mixtures: Robbins 1970). Thresholds come from earlier ticks only.
//! Of slow requests a tick counts no more than a limit, so that a pause of the machine doesn't drown the rest.
//!
//! [`Design::Before`]: the window before the swap, `k₀` of `n₀`, against `k₁` of `n₁` since. Universal inference
//! (Wasserman, Ramdas, Balakrishnan 2020) with a beta prior for each rate:
//!
//! ```text
//! E = ∫ p₀ᵏ⁰ (1-p₀)ⁿ⁰⁻ᵏ⁰ π(p₀) dp₀ · ∫ p₁ᵏ¹ (1-p₁)ⁿ¹⁻ᵏ¹ π(p₁) dp₁ / max over p₁ ≤ p₀ of p₀ᵏ⁰ (1-p₀)ⁿ⁰⁻ᵏ⁰ p₁ᵏ¹ (1-p₁)ⁿ¹⁻ᵏ¹
//! ```
//!
//! That is exact for independent requests. Real ones come in bursts and waves, and here no lot tells those from harm:
//! so all counts are divided by how much more they vary than independent ones would (Pearson's statistic, largest
//! over blocks of a tick to 15 s), a tick counts only so far, evidence has to stand without its worst second (for latencies, two), and harm
//! has to show in three ticks. This is no proof but practice; the simulations say how it does. A longer baseline,
//! half a minute and more, tells more of the waves.
//!
//! In both, the share of bad ones has to have risen by what the gate names.
//!
//! # What promotes
//!
//! Only the deadline, and only if the rise of the share of failures is known to be at most [`Gate::tolerance`]: the
//! upper end of the new one's confidence sequence (Robbins 1970) less the lower end of the old one's, each at α/2. If
//! not, or with half of the evidence to roll back, it is [`Verdict::Inconclusive`]: the caller holds it and goes on
//! observing. So it is without traffic. With nothing to compare with (no request before), nothing can be worse, and
//! good answers alone can promote: as many as put the share of failures itself below the tolerance, 433 without
//! a failure at the defaults.
//!
//! [`Evidence`] shows quantiles with confidence sequences, too (Howard and Ramdas 2022).
//!
//! Saturation is a limit and no test: it has no part in α.
//!
//! # How well
//!
//! `cargo run -p probation --release --example operating_characteristics` prints how often harmless generations are
//! rolled back over seeded traffic, and how soon harmful ones.
//!
//! # What it refuses to do
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
mod watch;

pub use confidence::Interval;
pub use counts::{Counts, Design, TICKS_PER_SECOND, Tick};
pub use evidence::{ArmEvidence, Evidence, SignalEvidence};
pub use gate::{Gate, GateError, Slack};
pub use histogram::Histogram;
pub use probation::{DesignError, Probation};
pub use signal::{Signal, Thresholds};
pub use verdict::{Doubt, Harm, Reason, Share, Verdict};
