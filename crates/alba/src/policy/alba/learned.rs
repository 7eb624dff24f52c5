//! What the learned policy knows of one endpoint.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::pool::{Means, PoolLearned};
use crate::learned::{LARGEST, pair, within};
use crate::stamped::{Stamped, duration, ticks_in};
use crate::sums::Sums;
use crate::{Aged, LearnedEndpoint, LoadReport, Observation, Time};

/// What one answer leaves of all before it: some fifty answers speak for an endpoint's slowness.
const ANSWERS_KEPT: f64 = 0.98;

/// With no answers, slowness and failures are forgotten within some multiples of this; as long as Linkerd's
/// latency estimate lives.
const DECAY_NS: f64 = 10e9;

/// One answer may be this many times slower than expected before the rest is cut off, so that one hiccup of
/// a heavy tail does not condemn its endpoint.
const SLOWEST: f64 = 10.0;

/// What was learned elsewhere makes no endpoint slower than this.
const LARGEST_RATIO: f64 = 1000.0;

/// A report of more requests counts as one of so many: that is busy enough, and one endpoint that tells of
/// thousands must not move by as much what is assumed of those that tell nothing.
const MOST_OTHERS: f64 = 1000.0;

/// An older report says nothing: load comes and goes within seconds.
const OUTLIVED: u32 = ticks_in(Duration::from_secs(10));

/// What one success leaves of all outcomes before it: some ten speak for an endpoint.
const SUCCESSES_KEPT: f64 = 0.9;

/// What one failure leaves of the successes before it: an endpoint that begins to fail has a good past, and
/// every request that goes on believing it fails.
const GOOD_KEPT: f64 = 0.5;

/// Failures count up to this many, and fewer than the second number are forgiven: an endpoint that was shut out is
/// tried again after at most 19 s, and shut out again by one failure.
const MOST_BAD: f64 = 2.0;
const FORGIVEN: f64 = 0.3;

/// What one telling of others' outcomes leaves of those before it: the newest count most.
const TOLD_KEPT: f64 = 0.2;

/// Requests that the prior of the success rate counts for.
const OUTCOME_PRIOR: f64 = 1.0;

/// For how long an endpoint that said so is taken to be draining.
const DRAINING_FOR: Duration = Duration::from_secs(10);

/// One endpoint as the learned policy sees it. Written and read by all threads.
#[derive(Debug)]
pub(crate) struct Learned {
    /// Requests of others that are in flight there, as of the newest report.
    others: Stamped,
    /// Times that answers took as shares of what the pool's line says, and answers.
    ratios: Sums,
    /// Successes and failures.
    outcomes: Sums,
    /// When the two above were written last.
    written_at: AtomicU64,
    /// When it answered last, or when waiting for it began, if that is later.
    heard: AtomicU64,
    /// When it answered last.
    answered_at: AtomicU64,
    /// Successes and failures, as other dispatchers saw them lately, and when that was told.
    shared_outcomes: Sums,
    shared_at: AtomicU64,
    /// Successes and failures that others were told of.
    told: [AtomicU64; 2],
    /// How long it had not answered any other dispatcher that waits for it, and when that was told.
    shared_silence: Stamped,
    draining_until: AtomicU64,
    probing: AtomicBool,
}

impl Learned {
    pub(crate) fn new() -> Self {
        Self {
            others: Stamped::new(),
            ratios: Sums::default(),
            outcomes: Sums::default(),
            written_at: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            answered_at: AtomicU64::new(0),
            shared_outcomes: Sums::default(),
            shared_at: AtomicU64::new(0),
            told: [AtomicU64::new(0), AtomicU64::new(0)],
            shared_silence: Stamped::new(),
            draining_until: AtomicU64::new(0),
            probing: AtomicBool::new(false),
        }
    }

    /// The first of the requests that now wait was sent.
    pub(crate) fn waiting_began(&self, now: Time) {
        self.heard.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// An answer began.
    pub(crate) fn heard(&self, now: Time) {
        // The end of a stream tells of its beginning once more, when others have been heard of since.
        if self.answered_at.load(Ordering::Relaxed) <= now.as_nanos() {
            self.heard.fetch_max(now.as_nanos(), Ordering::Relaxed);
            self.answered_at.store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// How an attempt of this process ended: with an answer that took `time_s` and met a queue of `queue` when
    /// it was asked for, or with a failure.
    pub(super) fn ended(
        &self,
        answer: Option<(f64, f64)>,
        means: &Means<'_>,
        pool: &PoolLearned,
        now: Time,
    ) {
        let keep = left(self.written_at.load(Ordering::Relaxed), now);
        self.written_at.store(now.as_nanos(), Ordering::Relaxed);
        let Some((time_s, queue)) = answer else {
            self.ratios.add(keep, 0.0, 0.0);
            self.outcomes
                .update(|good, bad| (good * keep * GOOD_KEPT, (bad * keep + 1.0).min(MOST_BAD)));
            return;
        };
        let (slowness, answers) = self.evidence(keep);
        let believed = means.believed_slowness(slowness, answers);
        let expected_s = means.line.time_s(queue);
        let ratio = (time_s / expected_s).min(SLOWEST * believed.max(1.0));
        pool.slowness(slowness, answers, ratio);
        pool.line.add(queue, ratio * expected_s / believed);
        self.ratios.add(keep * ANSWERS_KEPT, ratio, 1.0);
        self.outcomes.add(keep * SUCCESSES_KEPT, 1.0, 0.0);
    }

    /// Takes a report that left the endpoint at about `now`, while `own` requests of this process were in
    /// flight there.
    pub(super) fn reported(
        &self,
        report: &LoadReport,
        own: u32,
        means: &Means<'_>,
        pool: &PoolLearned,
        now: Time,
    ) {
        if let Some(in_flight) = report.in_flight
            && !self.others.is_later_than(now)
        {
            let others = f64::from(in_flight.saturating_sub(own));
            let others = others.min(MOST_OTHERS);
            pool.others(others, self.others.age(now));
            self.others.store(others, now);
            if let Some(latency) = report.latency {
                let expected_s = means.line.time_s(f64::from(in_flight));
                let ratio = pool.reported(latency.as_secs_f64() / expected_s);
                self.ratios.add(ANSWERS_KEPT, ratio.min(SLOWEST), 1.0);
            }
        }
        self.drains(report.draining, now);
    }

    /// It said whether it is draining.
    pub(super) fn drains(&self, draining: bool, now: Time) {
        if draining {
            self.draining_until
                .store((now + DRAINING_FOR).as_nanos(), Ordering::Relaxed);
        } else if self.draining_until.load(Ordering::Relaxed) != 0 {
            self.draining_until.store(0, Ordering::Relaxed);
        }
    }

    /// Requests of others that were in flight there as of the newest report, and how old that is in ticks;
    /// `None` once it says nothing any more.
    pub(super) fn report(&self, now: Time) -> Option<(f64, u32)> {
        self.others.age(now).filter(|(_, age)| *age < OUTLIVED)
    }

    /// How slow it seems, and how many answers say so, if `keep` is left of them: 1 is what the pool's line says.
    fn evidence(&self, keep: f64) -> (f64, f64) {
        let (ratios, answers) = self.ratios.load();
        if answers > 1e-3 {
            (ratios / answers, answers * keep)
        } else {
            (1.0, 0.0)
        }
    }

    /// How slow it is, as far as that can be believed: times what the pool's line says.
    pub(super) fn slowness(&self, means: &Means<'_>, now: Time) -> f64 {
        let keep = left(self.written_at.load(Ordering::Relaxed), now);
        let (slowness, answers) = self.evidence(keep);
        means.believed_slowness(slowness, answers)
    }

    /// Chance of success against the pool's, above 0 and at most 1: by what this process saw or by what others
    /// did, whichever is worse.
    pub(super) fn success(&self, means: &Means<'_>, shared: bool, now: Time) -> f64 {
        let own = chance(&self.outcomes, &self.written_at, means, now);
        if shared {
            own.min(chance(&self.shared_outcomes, &self.shared_at, means, now))
        } else {
            own
        }
    }

    /// For how long requests wait there without any answer, in seconds.
    pub(super) fn silence_s(&self, awaited: u32, shared: bool, now: Time) -> f64 {
        let own_s = if awaited > 0 {
            let heard = self.heard.load(Ordering::Relaxed);
            now.as_nanos().saturating_sub(heard) as f64 * 1e-9
        } else {
            0.0
        };
        if shared && let Some((told_s, age)) = self.shared_silence.age(now) {
            // It is as silent as for the one that heard of it last, and silent to others only as of then.
            let told_at = now
                .as_nanos()
                .saturating_sub(duration(age).as_nanos() as u64);
            if self.answered_at.load(Ordering::Relaxed) < told_at {
                return own_s.max(told_s);
            }
        }
        own_s
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

    /// What a successor in another process has to know.
    pub(crate) fn recall(&self, learned: &mut LearnedEndpoint, now: Time) {
        // Faded already: the other process counts time from elsewhere.
        let keep = left(self.written_at.load(Ordering::Relaxed), now);
        let faded = |sums: &Sums| {
            let (first, second) = sums.load();
            [first * keep, second * keep]
        };
        learned.ratios = faded(&self.ratios);
        learned.outcomes = faded(&self.outcomes);
        learned.others = Aged::of(&self.others, now);
        let draining_until = Time::from_nanos(self.draining_until.load(Ordering::Relaxed));
        learned.draining_for_s = draining_until.since(now).as_secs_f64();
    }

    /// Takes what was learned before; what is absurd is ignored.
    pub(crate) fn restore(&self, learned: &LearnedEndpoint, now: Time) {
        if let (Some(ratios), Some(outcomes)) = (
            pair(learned.ratios, LARGEST),
            pair(learned.outcomes, LARGEST),
        ) {
            if ratios.0 <= ratios.1 * LARGEST_RATIO {
                self.ratios.store(ratios.0, ratios.1);
            }
            self.outcomes.store(outcomes.0, outcomes.1.min(MOST_BAD));
            self.written_at.store(now.as_nanos(), Ordering::Relaxed);
        }
        Aged::restore(learned.others, &self.others, MOST_OTHERS, now);
        let drains = within(learned.draining_for_s, DRAINING_FOR.as_secs_f64());
        if let Some(left_s) = drains.filter(|left_s| *left_s > 0.0) {
            let until = now + Duration::from_secs_f64(left_s);
            self.draining_until
                .store(until.as_nanos(), Ordering::Relaxed);
        }
    }

    /// What to tell others of it.
    pub(crate) fn tell(
        &self,
        observation: &mut Observation,
        (successes, failures): (u64, u64),
        awaited: u32,
        now: Time,
    ) {
        let since = |told: &AtomicU64, total: u64| {
            total.saturating_sub(told.swap(total, Ordering::Relaxed))
        };
        observation.successes = since(&self.told[0], successes);
        observation.failures = since(&self.told[1], failures);
        if awaited > 0 {
            observation.silence_s = self.silence_s(awaited, false, now);
        }
    }

    /// What others told of it.
    pub(crate) fn learn(&self, told: &Observation, now: Time) {
        if told.successes.saturating_add(told.failures) > 0 {
            let (good, bad) = (told.successes as f64, told.failures as f64);
            let scale = (MOST_BAD / bad).min(1.0);
            let (good, bad) = (good * scale, bad * scale);
            self.shared_outcomes.add(TOLD_KEPT, good, bad);
            self.shared_at.store(now.as_nanos(), Ordering::Relaxed);
        }
        let silence_s = if told.silence_s.is_finite() {
            told.silence_s
        } else {
            0.0
        };
        self.shared_silence.store(silence_s, now);
    }
}

/// What is left of sums that were last written at `before_ns`.
fn left(before_ns: u64, now: Time) -> f64 {
    let elapsed_ns = now.as_nanos().saturating_sub(before_ns) as f64;
    let exponent = elapsed_ns * (1.0 / DECAY_NS);
    // Under load hardly any time has passed, and exp is the dearest part of a completion.
    if exponent < 1e-2 {
        1.0 - exponent
    } else {
        (-exponent).exp()
    }
}

/// Chance of success against the pool's, above 0 and at most 1, by outcomes that fade.
fn chance(outcomes: &Sums, written: &AtomicU64, means: &Means<'_>, now: Time) -> f64 {
    let (good, bad) = outcomes.load();
    if bad < FORGIVEN {
        return 1.0;
    }
    let keep = left(written.load(Ordering::Relaxed), now);
    if bad * keep < FORGIVEN {
        return 1.0;
    }
    let expected = means.success;
    let good = good * keep + OUTCOME_PRIOR * expected;
    let all = good + bad * keep + OUTCOME_PRIOR * (1.0 - expected);
    (good / all / expected).clamp(1e-3, 1.0)
}
