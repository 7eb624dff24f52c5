//! Whether the workers have run out of time since the swap. No test of chance: a limit, held for some seconds.

use crate::{counts::TICKS_PER_SECOND, verdict::Reason};

/// For so many seconds in a row the limit has to be reached: longer than a garbage collection of a neighbour, or a
/// wave of reconnecting clients.
const SECONDS: u32 = 5;

/// Before, they were clearly less busy if below this part of the limit.
const CLEARLY_LESS: f64 = 0.8;

/// Counts the seconds in a row in which workers were as busy as the limit.
#[derive(Clone, Debug)]
pub(crate) struct Saturation {
    limit: Option<f64>,
    before: Option<f64>,
    sum: f64,
    ticks: u32,
    last_second: f64,
    seconds: u32,
    sum_of_seconds: f64,
}

impl Saturation {
    pub(crate) fn new(limit: Option<f64>, before: Option<f64>) -> Self {
        Self {
            limit,
            before: before
                .filter(|busy| busy.is_finite())
                .map(|busy| busy.clamp(0.0, 1.0)),
            sum: 0.0,
            ticks: 0,
            last_second: 0.0,
            seconds: 0,
            sum_of_seconds: 0.0,
        }
    }

    pub(crate) fn observe(&mut self, busy: f64) {
        self.sum += if busy.is_finite() {
            busy.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.ticks += 1;
        if self.ticks < TICKS_PER_SECOND {
            return;
        }
        self.last_second = self.sum / f64::from(TICKS_PER_SECOND);
        (self.sum, self.ticks) = (0.0, 0);
        if self.limit.is_some_and(|limit| self.last_second >= limit) {
            self.seconds = self.seconds.saturating_add(1);
            self.sum_of_seconds += self.last_second;
        } else {
            (self.seconds, self.sum_of_seconds) = (0, 0.0);
        }
    }

    /// The mean of the last whole second.
    pub(crate) fn busy(&self) -> f64 {
        self.last_second
    }

    pub(crate) fn before(&self) -> Option<f64> {
        self.before
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        let (limit, before) = (self.limit?, self.before?);
        (self.seconds >= SECONDS && before < CLEARLY_LESS * limit).then(|| Reason::Saturation {
            busy: self.sum_of_seconds / f64::from(self.seconds),
            before,
            seconds: self.seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: Option<f64>, ticks: impl IntoIterator<Item = f64>) -> Option<Reason> {
        let mut saturation = Saturation::new(Some(0.95), before);
        for busy in ticks {
            saturation.observe(busy);
        }
        saturation.reason()
    }

    #[test]
    fn five_seconds_without_time_are_harm() {
        let reason = after(Some(0.4), [0.97; 25]);
        assert!(
            matches!(reason, Some(Reason::Saturation { seconds: 5, .. })),
            "{reason:?}"
        );
        assert_eq!(after(Some(0.4), [0.97; 24]), None);
    }

    #[test]
    fn a_pause_or_a_busy_past_is_none() {
        let with_pause = (0..50).map(|tick| if (20..25).contains(&tick) { 0.5 } else { 1.0 });
        assert!(after(Some(0.4), with_pause).is_some());
        let with_pauses = (0..100).map(|tick| if tick % 20 < 5 { 0.5 } else { 1.0 });
        assert_eq!(after(Some(0.4), with_pauses), None);
        assert_eq!(after(Some(0.9), [1.0; 100]), None);
        assert_eq!(after(None, [1.0; 100]), None);
        assert_eq!(after(Some(0.1), [f64::NAN; 100]), None);
    }
}
