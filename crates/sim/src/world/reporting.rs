//! What a server knows and tells of its own load.

use std::collections::VecDeque;
use std::time::Duration;

use alba::LoadReport;

/// In-flight counts are told apart by powers of two.
const CLASSES: usize = 16;

/// Answers of a class that are remembered. Prequal says only "recent"; 16 give a median that is steady
/// within a fifth.
const REMEMBERED: usize = 16;

/// A time constant that smooths bursts but follows a step within a second or two, as ORCA reporters'
/// windows do.
const SMOOTHING_S: f64 = 1.0;

/// Old reports are kept this often and this long, for worlds in which they come late.
const HISTORY: usize = 64;

/// What one server knows of its load.
#[derive(Debug, Default)]
pub(crate) struct Reporting {
    /// Core-seconds used since the last sample.
    pub(crate) busy_s: f64,
    /// Answers, and errors among them, since the last sample.
    answers: u32,
    errors: u32,
    utilization: f64,
    requests_per_s: f64,
    errors_per_s: f64,
    latencies: [Recent; CLASSES],
    /// Reports as they were at the latest samples, the newest last.
    history: VecDeque<LoadReport>,
}

/// The latest answers of one class.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    times_s: [f32; REMEMBERED],
    len: usize,
    next: usize,
    /// Worked out when it is asked for.
    median_s: Option<f32>,
}

impl Recent {
    fn add(&mut self, time_s: f32) {
        self.times_s[self.next] = time_s;
        self.next = (self.next + 1) % REMEMBERED;
        self.len = (self.len + 1).min(REMEMBERED);
        self.median_s = None;
    }

    fn median_s(&mut self) -> Option<f32> {
        if self.len == 0 {
            return None;
        }
        Some(*self.median_s.get_or_insert_with(|| {
            let mut times = self.times_s;
            let times = &mut times[..self.len];
            let middle = times.len() / 2;
            *times.select_nth_unstable_by(middle, f32::total_cmp).1
        }))
    }
}

fn class(in_flight: u32) -> usize {
    ((u32::BITS - in_flight.leading_zeros()) as usize).min(CLASSES - 1)
}

impl Reporting {
    /// An answer went out after so long in the server, to a request that found so many, itself included.
    pub(crate) fn answered(&mut self, time_s: f64, found: u32) {
        self.answers += 1;
        self.latencies[class(found)].add(time_s as f32);
    }

    /// An error went out.
    pub(crate) fn failed(&mut self) {
        self.answers += 1;
        self.errors += 1;
    }

    /// What is told now, with `in_flight` requests in the server besides the one that is answered.
    ///
    /// Latency is the median of the latest answers whose requests found about as many as are there now
    /// (Prequal §4), or else those of the nearest class.
    pub(crate) fn report(&mut self, in_flight: u32, draining: bool) -> LoadReport {
        let here = class(in_flight + 1);
        let mut latency_s = None;
        for distance in 0..CLASSES {
            let below = here.checked_sub(distance);
            let above = Some(here + distance).filter(|&above| above < CLASSES);
            latency_s = [below, above]
                .into_iter()
                .flatten()
                .find_map(|class| self.latencies[class].median_s());
            if latency_s.is_some() {
                break;
            }
        }
        LoadReport {
            in_flight: Some(in_flight),
            latency: latency_s.map(Duration::from_secs_f32),
            utilization: Some(self.utilization as f32),
            requests_per_s: Some(self.requests_per_s as f32),
            errors_per_s: Some(self.errors_per_s as f32),
            draining,
        }
    }

    /// What was told `age_s` ago; at the start, the oldest there is.
    pub(crate) fn past(&self, age_s: f64, interval_s: f64) -> Option<LoadReport> {
        let back = (age_s / interval_s) as usize;
        let newest = self.history.len().checked_sub(1)?;
        self.history.get(newest.saturating_sub(back)).copied()
    }

    /// Takes the means over `interval_s` since the last sample.
    pub(crate) fn sample(
        &mut self,
        in_flight: u32,
        allocation: f64,
        draining: bool,
        interval_s: f64,
    ) {
        let weight = 1.0 - (-interval_s / SMOOTHING_S).exp();
        let follow = |mean: &mut f64, value: f64| *mean += weight * (value - *mean);
        follow(&mut self.utilization, self.busy_s / interval_s / allocation);
        follow(
            &mut self.requests_per_s,
            f64::from(self.answers) / interval_s,
        );
        follow(&mut self.errors_per_s, f64::from(self.errors) / interval_s);
        self.busy_s = 0.0;
        self.answers = 0;
        self.errors = 0;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let report = self.report(in_flight, draining);
        self.history.push_back(report);
    }
}
