//! What reached the upstreams.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

/// The header by which a request of ours is known again at an upstream.
pub(crate) const MARK: &str = "x-conformance-mark";

/// A marked request that an upstream got.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The value of [`MARK`].
    pub(crate) mark: String,
    /// Where it arrived.
    pub(crate) pod: String,
    /// With the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

/// Every marked request, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Log {
    seen: Mutex<Vec<Seen>>,
    arrived: Notify,
}

impl Log {
    pub(super) fn add(&self, seen: Seen) {
        self.lock().push(seen);
        self.arrived.notify_waiters();
    }

    /// What arrived with a mark at pods whose name begins so.
    pub(crate) fn with(&self, mark: &str, pod: &str) -> Vec<Seen> {
        let wanted = |seen: &&Seen| seen.mark == mark && seen.pod.starts_with(pod);
        self.lock().iter().filter(wanted).cloned().collect()
    }

    /// The same as soon as there are that many, or what there is when the time is over.
    pub(crate) async fn wait(
        &self,
        mark: &str,
        pod: &str,
        count: usize,
        patience: Duration,
    ) -> Vec<Seen> {
        let arriving = async {
            loop {
                // Asked for first, so that nothing can arrive between the look and the wait.
                let next = self.arrived.notified();
                let seen = self.with(mark, pod);
                if seen.len() >= count {
                    return seen;
                }
                next.await;
            }
        };
        let found = tokio::time::timeout(patience, arriving).await;
        found.unwrap_or_else(|_| self.with(mark, pod))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Seen>> {
        self.seen
            .lock()
            .expect("nothing panics while it holds the log")
    }
}
