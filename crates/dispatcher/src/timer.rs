//! One timer per connection, armed as rarely as possible.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
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
    ///
    /// A named future instead of an `async fn`: that would hold `future` twice, once as its argument and
    /// once pinned, and these nest.
    pub(crate) fn until<F: Future>(
        &mut self,
        deadline: Option<Instant>,
        future: F,
    ) -> Until<'_, F> {
        Until {
            timer: self,
            deadline,
            future,
        }
    }

    /// Ready once `deadline` has passed. Always called by the same task.
    pub(crate) fn poll_expired(
        &mut self,
        deadline: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Expired> {
        let sleep = match &mut self.sleep {
            // Armed, and this task will be woken: looking at it again would change nothing.
            Some(sleep) if sleep.deadline() <= deadline && !sleep.is_elapsed() => {
                return Poll::Pending;
            }
            Some(sleep) => sleep,
            None => self
                .sleep
                .insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
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

pin_project! {
    /// See [`Timer::until`].
    pub(crate) struct Until<'t, F> {
        timer: &'t mut Timer,
        deadline: Option<Instant>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Until<'_, F> {
    type Output = Result<F::Output, Expired>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        match *this.deadline {
            Some(deadline) => this.timer.poll_expired(deadline, cx).map(Err),
            None => Poll::Pending,
        }
    }
}
