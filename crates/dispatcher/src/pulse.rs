//! Signs of life of a thread: that it goes round, and how much of a processor it uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::clock;

/// How often a thread gives a sign.
const INTERVAL: Duration = Duration::from_millis(200);

/// One thread's newest sign of life. Only that thread writes it.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    cpu_nanos: AtomicU64,
    beaten_nanos: AtomicU64,
}

impl Pulse {
    /// A thread that is just starting.
    pub(crate) fn new() -> Arc<Self> {
        let pulse = Self::default();
        let now = clock::now().as_nanos();
        pulse.beaten_nanos.store(now, Ordering::Relaxed);
        Arc::new(pulse)
    }

    /// Beats for ever, for the thread that it runs on.
    pub(crate) async fn beat(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            let used = clock_gettime(ClockId::ThreadCPUTime);
            let used = Duration::try_from(used).unwrap_or_default();
            let nanos = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
            self.cpu_nanos.store(nanos, Ordering::Relaxed);
            let now = clock::now().as_nanos();
            self.beaten_nanos.store(now, Ordering::Relaxed);
        }
    }

    /// How much processor time the thread has used.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }

    /// How long ago it gave its last sign.
    pub(crate) fn age(&self) -> Duration {
        let beaten = self.beaten_nanos.load(Ordering::Relaxed);
        clock::now().since(alba::Time::from_nanos(beaten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_told() {
        let pulse = Pulse::new();
        let beating = tokio::spawn(pulse.clone().beat());
        let before = pulse.cpu();
        // Ends because this thread's own clock goes on, however busy the machine is.
        while pulse.cpu() <= before {
            tokio::task::yield_now().await;
        }
        assert!(pulse.age() <= clock::now().since(alba::Time::from_nanos(0)));
        beating.abort();
    }
}
