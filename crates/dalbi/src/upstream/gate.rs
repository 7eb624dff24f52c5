//! How many requests are worked on at once, and how many may wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Slots with a bounded first-in, first-out queue before them.
#[derive(Debug)]
pub(crate) struct Gate {
    /// `None` lets everything in. Tokio's semaphore hands out permits in the order of asking.
    slots: Option<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

/// A request's right to be worked on; ends when dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull {
    /// Its length.
    pub(crate) limit: usize,
}

impl Gate {
    pub(crate) fn new(concurrency: Option<usize>, queue: Option<usize>) -> Self {
        Self {
            slots: concurrency.map(|slots| Semaphore::new(slots.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            queue: queue.unwrap_or(usize::MAX),
        }
    }

    /// Waits for a slot, unless too many are waiting already.
    pub(crate) async fn enter(&self) -> Result<Slot<'_>, QueueFull> {
        let Some(slots) = &self.slots else {
            return Ok(Slot { _permit: None });
        };
        // A free slot is only taken here when nobody waits: `try_acquire` fails while permits are owed.
        if let Ok(permit) = slots.try_acquire() {
            return Ok(Slot {
                _permit: Some(permit),
            });
        }
        let _place = self.queue_up()?;
        let permit = slots
            .acquire()
            .await
            .expect("the semaphore is never closed");
        Ok(Slot {
            _permit: Some(permit),
        })
    }

    fn queue_up(&self) -> Result<Place<'_>, QueueFull> {
        let full = QueueFull { limit: self.queue };
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < self.queue).then_some(waiting + 1)
            })
            .map_err(|_| full)?;
        Ok(Place(&self.waiting))
    }
}

/// A place in the queue, given up when the client goes away too.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn slots_go_to_the_longest_waiting_and_the_queue_is_bounded() {
        let gate = Gate::new(Some(1), Some(2));
        let mut first = pin!(gate.enter());
        let Poll::Ready(Ok(working)) = poll(first.as_mut()) else {
            panic!("a slot is free")
        };
        let mut second = pin!(gate.enter());
        let mut third = pin!(gate.enter());
        assert!(poll(second.as_mut()).is_pending());
        assert!(poll(third.as_mut()).is_pending());
        let mut fourth = pin!(gate.enter());
        assert!(matches!(
            poll(fourth.as_mut()),
            Poll::Ready(Err(QueueFull { limit: 2 }))
        ));

        drop(working);
        assert!(
            poll(third.as_mut()).is_pending(),
            "the second was here before"
        );
        let Poll::Ready(Ok(_working)) = poll(second.as_mut()) else {
            panic!("the slot is the second's")
        };
        let mut fifth = pin!(gate.enter());
        assert!(
            poll(fifth.as_mut()).is_pending(),
            "one place in the queue is free again"
        );
    }

    #[test]
    fn a_client_that_goes_away_frees_its_place() {
        let gate = Gate::new(Some(1), Some(1));
        let mut first = pin!(gate.enter());
        let Poll::Ready(Ok(_working)) = poll(first.as_mut()) else {
            panic!("a slot is free")
        };
        {
            let mut second = pin!(gate.enter());
            assert!(poll(second.as_mut()).is_pending());
        }
        let mut third = pin!(gate.enter());
        assert!(poll(third.as_mut()).is_pending(), "the queue has room");
    }

    #[test]
    fn without_a_limit_everything_is_let_in() {
        let gate = Gate::new(None, Some(0));
        let slots: Vec<_> = (0..100)
            .map(|_| match poll(pin!(gate.enter())) {
                Poll::Ready(Ok(slot)) => slot,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(slots.len(), 100);
    }
}
