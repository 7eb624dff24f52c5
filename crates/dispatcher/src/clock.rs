//! The one place where the process's clock becomes [`alba::Time`].

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static EPOCH: OnceLock<Instant> = OnceLock::new();

/// How much time lies before the first call in this process: what an earlier process has learned has its place there.
const BEFORE: Duration = Duration::from_secs(24 * 3600);

/// `instant` as the balancers count it: in nanoseconds.
pub(crate) fn at(instant: Instant) -> alba::Time {
    let passed = instant.saturating_duration_since(*EPOCH.get_or_init(Instant::now)) + BEFORE;
    alba::Time::from_nanos(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
}

/// Now, as the balancers count it.
pub(crate) fn now() -> alba::Time {
    at(Instant::now())
}
