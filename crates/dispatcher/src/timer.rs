//! One timer per connection, armed as rarely as possible.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// A deadline passed before the future it guarded was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired;

/// Guards one wait after another of a single task.
///
/// Arming a tokio timer costs more than the rest of a small request's bookkeeping, and nearly every wait
/// ends long before its deadline. So an armed timer is left where it is as long as it fires no later than
/// the current deadline; when it fires early it is armed again. A busy connection arms about once per
/// timeout, not once per request.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Runs `future` until it is ready or `deadline` passes; `None` never passes.
    pub(crate) async fn until<F: Future>(
        &mut self,
        deadline: Option<Instant>,
        future: F,
    ) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            match deadline {
                Some(deadline) => self.poll_expired(deadline, cx).map(Err),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Ready once `deadline` has passed.
    pub(crate) fn poll_expired(
        &mut self,
        deadline: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Expired> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Expired);
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
