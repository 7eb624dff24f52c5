//! The one place where the process's clock becomes [`alba::Time`].

use std::sync::OnceLock;
use std::time::Instant;

static EPOCH: OnceLock<Instant> = OnceLock::new();

/// `instant` as the balancers count it: nanoseconds since the first call in this process.
pub(crate) fn at(instant: Instant) -> alba::Time {
    let passed = instant.saturating_duration_since(*EPOCH.get_or_init(Instant::now));
    alba::Time::from_nanos(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
}

/// Now, as the balancers count it.
pub(crate) fn now() -> alba::Time {
    at(Instant::now())
}
