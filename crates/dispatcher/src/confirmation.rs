//! Confirmation of a generation through the network path that it serves itself: a configuration that cuts its author
//! off is never confirmed so.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesh::{Decision, ListenerKind};

use crate::client::{Client, Standing};
use crate::exchange::flags::Flags;
use crate::exchange::reply::Reply;
use crate::http::view::RequestView;
use crate::worker::Worker;

/// Before the token. The well-known path of RFC 8615.
const PREFIX: &str = "/.well-known/dalbi/confirm/";

/// One that is waited for.
#[derive(Debug)]
pub(crate) struct Confirmation {
    /// Of the snapshot that is to be confirmed.
    number: u64,
    generation: Arc<str>,
    token: String,
    arrived: AtomicBool,
}

impl Confirmation {
    pub(crate) fn new(number: u64, generation: Arc<str>, token: String) -> Self {
        Self {
            number,
            generation,
            token,
            arrived: AtomicBool::new(false),
        }
    }

    pub(crate) fn has_arrived(&self) -> bool {
        self.arrived.load(Ordering::Relaxed)
    }

    /// The answer to a request that confirms: it has the token, its connection is no older than the snapshot, and the
    /// snapshot's gateway would serve it. `view` is the request as a snapshot sees it in which it stands so.
    pub(crate) fn answer<V: RequestView>(
        &self,
        worker: &Worker,
        client: &Client,
        path: &str,
        view: impl FnOnce(Standing) -> V,
    ) -> Option<Reply> {
        let token = path.strip_prefix(PREFIX)?;
        if !is_same(token.as_bytes(), self.token.as_bytes()) || client.born < self.number {
            return None;
        }
        let snapshot = worker.numbered(self.number)?;
        let standing = client.standing(&snapshot);
        let Standing::Served { listener, .. } = standing else {
            return None;
        };
        if snapshot.mesh().listeners[listener].kind != ListenerKind::Gateway {
            return None;
        }
        let draw = worker.rng.borrow_mut().u64();
        match snapshot.mesh().route(listener, &view(standing), draw) {
            Decision::NotFound | Decision::Misdirected => None,
            Decision::Redirect { .. }
            | Decision::DirectResponse { .. }
            | Decision::Forward { .. } => {
                self.arrived.store(true, Ordering::Relaxed);
                let text = format!("{}\n", self.generation);
                let mut reply = Reply::text(200, Flags::NONE, text);
                reply.headers.push(("cache-control", "no-store".to_owned()));
                Some(reply)
            }
        }
    }
}

/// Compares in a time that tells nothing but the length: who guesses must not learn how far they got.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let pairs = one.iter().zip(other);
    let difference = pairs.fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    one.len() == other.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_same(b"abc", b"abc"));
        for other in ["", "ab", "abcd", "abd", "xbc"] {
            assert!(!is_same(b"abc", other.as_bytes()), "{other}");
        }
    }
}
