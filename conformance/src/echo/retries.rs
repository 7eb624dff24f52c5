//! Failing on purpose: the first tries of a request fail in the way its query asks for.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::http::query;

/// How a try is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// What it answers; without one it resets the connection.
    pub(super) status: Option<u16>,
    /// How long it takes to do so.
    pub(super) delay: Duration,
}

/// Tries so far, by the `uuid` of the request.
#[derive(Debug, Default)]
pub(super) struct Retries(Mutex<HashMap<String, u32>>);

impl Retries {
    /// Counts a try. `succeedAfter=N` means that N tries fail, `responseCode` with what, `delayRetry` how slowly.
    pub(super) fn failure(&self, path: &str) -> Option<Failure> {
        let succeed_after: u32 = query(path, "succeedAfter")?.parse().ok()?;
        let request = query(path, "uuid")?;
        let mut tries = self
            .0
            .lock()
            .expect("nothing panics while it holds the count");
        let tries = tries.entry(request.to_owned()).or_default();
        *tries += 1;
        (*tries <= succeed_after).then(|| Failure {
            status: query(path, "responseCode").and_then(|code| code.parse().ok()),
            delay: query(path, "delayRetry")
                .and_then(duration)
                .unwrap_or_default(),
        })
    }
}

/// Go's way to write it, as far as cases use it: `300ms`, `1s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if let Some(milliseconds) = text.strip_suffix("ms") {
        return milliseconds.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?
        .parse()
        .ok()
        .map(Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_tries_fail_as_asked_for() {
        let retries = Retries::default();
        let path = "/retry?responseCode=503&succeedAfter=2&delayRetry=300ms&uuid=a";
        let failure = Failure {
            status: Some(503),
            delay: Duration::from_millis(300),
        };
        assert_eq!(retries.failure(path), Some(failure));
        assert_eq!(retries.failure(path), Some(failure));
        assert_eq!(retries.failure(path), None);
        let reset = retries.failure("/retry?succeedAfter=1&uuid=b").unwrap();
        assert_eq!(reset.status, None);
        assert_eq!(retries.failure("/retry"), None);
    }
}
