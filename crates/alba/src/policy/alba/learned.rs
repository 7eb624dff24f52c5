//! What the learned policy knows of one endpoint.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::pool::{Means, PoolLearned};
use crate::stamped::Stamped;
use crate::sums::Sums;
use crate::{LoadReport, Observation, Time};

/// What one answer leaves of all before it: some fifty answers speak for an endpoint's speed.
const SPEED_KEPT: f64 = 0.98;

/// With no answers, speed falls back to the pool's within some multiples of this; as long as Linkerd's
/// latency estimate lives.
const SPEED_DECAY: Duration = Duration::from_secs(10);

/// An endpoint's own speed counts as much as the prior when it has answered this often.
const SPEED_PRIOR: f64 = 10.0;

/// A report's latency is itself an average over many answers, so it weighs as this many of them.
const REPORTED_WEIGHT: f64 = 3.0;
const REPORTED_KEPT: f64 = SPEED_KEPT * SPEED_KEPT * SPEED_KEPT;

/// One answer may be this many times slower than expected before the rest is cut off, so that one hiccup of
/// a heavy tail does not condemn its endpoint.
const SLOWEST: f64 = 5.0;

/// Failures are forgotten within some multiples of this.
const OUTCOME_DECAY: Duration = Duration::from_secs(5);

/// Requests that the prior of the success rate counts for.
const OUTCOME_PRIOR: f64 = 1.0;

/// For how long an endpoint that said so is taken to be draining.
const DRAINING_FOR: Duration = Duration::from_secs(10);

/// One endpoint as the learned policy sees it. Written and read by all threads.
#[derive(Debug)]
pub(crate) struct Learned {
    /// Requests of others that are in flight there, as of the newest report.
    others: Stamped,
    /// Time that answers took, in seconds, and requests they waited for.
    speed: Sums,
    speed_at: AtomicU64,
    /// Successes and failures.
    outcomes: Sums,
    outcomes_at: AtomicU64,
    /// When it answered last, or when waiting for it began, if that is later.
    heard: AtomicU64,
    /// Shortest time to connect, in nanoseconds.
    connect: AtomicU64,
    /// Time and requests waited for, as other dispatchers saw them.
    shared_speed: Sums,
    /// Successes and failures, as other dispatchers saw them.
    shared_outcomes: Sums,
    /// When it last answered any other dispatcher that waits for it; `u64::MAX` if none waits.
    shared_heard: AtomicU64,
    draining_until: AtomicU64,
    probing: AtomicBool,
}

impl Learned {
    pub(crate) fn new() -> Self {
        Self {
            others: Stamped::new(),
            speed: Sums::default(),
            speed_at: AtomicU64::new(0),
            outcomes: Sums::default(),
            outcomes_at: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            connect: AtomicU64::new(u64::MAX),
            shared_speed: Sums::default(),
            shared_outcomes: Sums::default(),
            shared_heard: AtomicU64::new(u64::MAX),
            draining_until: AtomicU64::new(0),
            probing: AtomicBool::new(false),
        }
    }

    /// The first of the requests that now wait was sent.
    pub(crate) fn waiting_began(&self, now: Time) {
        self.heard.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// It answered.
    pub(super) fn heard(&self, now: Time) {
        self.heard.fetch_max(now.as_nanos(), Ordering::Relaxed);
    }

    /// Answers that took `time_s` from the pick all together, and waited for so many requests, themselves
    /// included. `keep` is what they leave of what was known.
    fn answered(&self, keep: f64, time_s: f64, waited_for: f64, now: Time) {
        let keep = keep * fade(&self.speed_at, now, SPEED_DECAY);
        self.speed.add(keep, time_s, waited_for);
    }

    /// An answer to this process that took `time_s` from the pick.
    pub(super) fn answered_us(&self, time_s: f64, waited_for: f64, now: Time) {
        self.answered(SPEED_KEPT, time_s, waited_for, now);
    }

    /// How an attempt ended: a success or a failure.
    pub(super) fn ended(&self, success: bool, now: Time) {
        let keep = fade(&self.outcomes_at, now, OUTCOME_DECAY);
        let (good, bad) = if success { (1.0, 0.0) } else { (0.0, 1.0) };
        self.outcomes.add(keep, good, bad);
    }

    /// Takes a report that left the endpoint at about `now`, while `own` requests of this process were in
    /// flight there.
    pub(super) fn reported(&self, report: &LoadReport, own: u32, pool: &PoolLearned, now: Time) {
        if let Some(in_flight) = report.in_flight {
            let others = f64::from(in_flight.saturating_sub(own));
            let mean = pool.mean_others();
            if let Some((before, age)) = self.others.age(now) {
                pool.trust.compare(before - mean, others - mean, age);
            }
            self.others.store(others, now);
            pool.others(others);
            if let Some(latency) = report.latency {
                let waited_for = (f64::from(in_flight) + 2.0) * REPORTED_WEIGHT;
                let time_s = latency.as_secs_f64() * REPORTED_WEIGHT;
                self.answered(REPORTED_KEPT, time_s, waited_for, now);
            }
        }
        if report.draining {
            self.draining_until
                .store((now + DRAINING_FOR).as_nanos(), Ordering::Relaxed);
        } else if self.draining_until.load(Ordering::Relaxed) != 0 {
            self.draining_until.store(0, Ordering::Relaxed);
        }
    }

    /// Requests of others that were in flight there as of the newest report, and how old that is.
    pub(super) fn report(&self, now: Time) -> Option<(f64, Duration)> {
        self.others.age(now)
    }

    /// Seconds that an answer takes per request waited for.
    pub(super) fn speed(&self, means: &Means, shared: bool) -> f64 {
        let (time, waited) = self.speed.load();
        let prior_waited = SPEED_PRIOR * means.waited_for;
        let mut prior_time = SPEED_PRIOR * means.time_s;
        if shared {
            let (time, waited) = self.shared_speed.load();
            if waited > 0.0 {
                prior_time = prior_waited * (time + prior_time) / (waited + prior_waited);
            }
        }
        (time + prior_time) / (waited + prior_waited)
    }

    /// The time of an answer, cut off where it says no more of its endpoint.
    pub(super) fn clipped(&self, time_s: f64, waited_for: f64, means: &Means) -> f64 {
        time_s.min(SLOWEST * self.speed(means, true) * waited_for)
    }

    /// Chance of success against the pool's, above 0 and at most 1.
    pub(super) fn success(&self, means: &Means, shared: bool, now: Time) -> f64 {
        let (good, bad) = self.outcomes.load();
        let (shared_good, shared_bad) = if shared {
            self.shared_outcomes.load()
        } else {
            (0.0, 0.0)
        };
        if bad + shared_bad < 1e-3 {
            return 1.0;
        }
        let keep = faded(&self.outcomes_at, now, OUTCOME_DECAY);
        let expected = means.success;
        let good = good * keep + shared_good + OUTCOME_PRIOR * expected;
        let all = good + bad * keep + shared_bad + OUTCOME_PRIOR * (1.0 - expected);
        (good / all / expected).clamp(1e-3, 1.0)
    }

    /// For how long requests wait there without any answer, in seconds.
    pub(super) fn silence_s(&self, own: u32, shared: bool, now: Time) -> f64 {
        let mut heard = u64::MAX;
        if own > 0 {
            heard = self.heard.load(Ordering::Relaxed);
        }
        if shared {
            let others = self.shared_heard.load(Ordering::Relaxed);
            // Whoever heard of it last is right.
            heard = match (heard, others) {
                (u64::MAX, others) => others,
                (own, u64::MAX) => own,
                (own, others) => own.max(others),
            };
        }
        now.as_nanos().saturating_sub(heard) as f64 * 1e-9
    }

    pub(super) fn connected(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.connect.fetch_min(nanos, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self, now: Time) -> bool {
        self.draining_until.load(Ordering::Relaxed) > now.as_nanos()
    }

    /// Claims the right to probe it; false if a probe is under way.
    pub(crate) fn begin_probe(&self) -> bool {
        !self.probing.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn end_probe(&self) {
        self.probing.store(false, Ordering::Relaxed);
    }

    /// What to tell others of it.
    pub(crate) fn tell(&self, observation: &mut Observation, now: Time) {
        let kept = faded(&self.speed_at, now, SPEED_DECAY);
        let (time, waited) = self.speed.load();
        (observation.time_s, observation.waited_for) = (time * kept, waited * kept);
        let kept = faded(&self.outcomes_at, now, OUTCOME_DECAY);
        let (good, bad) = self.outcomes.load();
        (observation.successes, observation.failures) = (good * kept, bad * kept);
        if observation.in_flight > 0 {
            observation.silence_s = self.silence_s(observation.in_flight, false, now);
        }
    }

    /// What others told of it.
    pub(crate) fn learn(&self, told: &Observation, now: Time) {
        self.shared_speed.store(told.time_s, told.waited_for);
        self.shared_outcomes.store(told.successes, told.failures);
        let heard = if told.silence_s.is_finite() {
            now.as_nanos().saturating_sub((told.silence_s * 1e9) as u64)
        } else {
            u64::MAX
        };
        self.shared_heard.store(heard, Ordering::Relaxed);
    }
}

/// What is left of sums that were last written at `written`, which becomes `now`. Every elapsed moment is
/// counted once, whichever threads come in between.
fn fade(written: &AtomicU64, now: Time, decay: Duration) -> f64 {
    let before = written.fetch_max(now.as_nanos(), Ordering::Relaxed);
    left(before, now, decay)
}

/// The same, of sums that are only read.
fn faded(written: &AtomicU64, now: Time, decay: Duration) -> f64 {
    left(written.load(Ordering::Relaxed), now, decay)
}

fn left(before_ns: u64, now: Time, decay: Duration) -> f64 {
    let elapsed_ns = now.as_nanos().saturating_sub(before_ns) as f64;
    let exponent = elapsed_ns / decay.as_nanos() as f64;
    // Under load hardly any time has passed, and exp is the dearest part of a completion.
    if exponent < 1e-3 {
        1.0 - exponent
    } else {
        (-exponent).exp()
    }
}
