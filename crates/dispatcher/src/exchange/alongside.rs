//! Waiting for an answer while the request's body is still on its way, and no longer than allowed.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::http::body::TransferError;
use crate::timer::Timer;

/// The times that end a request.
#[derive(Debug)]
pub(crate) struct Watch {
    deadline: Option<Instant>,
    idle: Cell<Duration>,
    /// Bytes moved in either direction.
    moved: Cell<u64>,
    /// What had moved at the last look, and when the next is due.
    seen: Cell<u64>,
    next_look: Cell<Instant>,
}

/// Why a wait was given up.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client's side broke while its body was read.
    Client,
    /// The whole request's time is up.
    Route,
    /// This try's time is up.
    Try,
    /// Nothing moved for the idle timeout.
    Idle,
}

impl Watch {
    /// Watches a request that began at `started`. `idle` is how long nothing may move.
    pub(crate) fn new(started: Instant, deadline: Option<Instant>, idle: Duration) -> Self {
        Self {
            deadline,
            idle: Cell::new(idle),
            moved: Cell::new(0),
            seen: Cell::new(0),
            next_look: Cell::new(started + idle),
        }
    }

    /// When the whole request's time is up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Tells of bytes that moved.
    pub(crate) fn moved(&self, bytes: usize) {
        self.moved.set(self.moved.get() + bytes as u64);
    }

    /// From now on nothing may move for no longer than `idle`, if that is less than before.
    pub(crate) fn shorten(&self, idle: Duration) {
        if idle < self.idle.get() {
            self.idle.set(idle);
            let look = Instant::now() + idle;
            self.next_look.set(self.next_look.get().min(look));
        }
    }

    /// Runs `future` to its end unless a time is up first.
    ///
    /// A named future for the reason that [`Timer::until`] gives.
    pub(crate) fn run<'w, T: Future>(
        &'w self,
        try_deadline: Option<Instant>,
        timer: &'w mut Timer,
        future: T,
    ) -> Watched<'w, T> {
        Watched {
            watch: self,
            try_deadline,
            timer,
            future,
        }
    }

    /// Looks at the clock only when the timer fires, so that movement costs nothing: a stream is given up
    /// after between one and two idle timeouts without any.
    fn poll(
        &self,
        try_deadline: Option<Instant>,
        timer: &mut Timer,
        cx: &mut Context<'_>,
    ) -> Poll<Stop> {
        loop {
            let look = self.next_look.get();
            let mut due = look;
            for deadline in [self.deadline, try_deadline].into_iter().flatten() {
                due = due.min(deadline);
            }
            if timer.poll_expired(due.into(), cx).is_pending() {
                return Poll::Pending;
            }
            if self.deadline.is_some_and(|deadline| due >= deadline) {
                return Poll::Ready(Stop::Route);
            }
            if try_deadline.is_some_and(|deadline| due >= deadline) {
                return Poll::Ready(Stop::Try);
            }
            if self.seen.replace(self.moved.get()) == self.moved.get() {
                return Poll::Ready(Stop::Idle);
            }
            self.next_look.set(look + self.idle.get());
        }
    }
}

/// A request's body on its way to one try's endpoint.
#[derive(Debug)]
pub(crate) struct Upload<'f, F>(Option<Pin<&'f mut F>>);

impl<'f, F: Future<Output = Result<(), TransferError>>> Upload<'f, F> {
    pub(crate) fn new(future: Pin<&'f mut F>) -> Self {
        Self(Some(future))
    }

    /// Ready when the client broke off. When the endpoint stops reading, its answer still counts.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        if let Some(future) = &mut self.0
            && let Poll::Ready(result) = future.as_mut().poll(cx)
        {
            self.0 = None;
            if matches!(result, Err(TransferError::Source(_))) {
                return Poll::Ready(Stop::Client);
            }
        }
        Poll::Pending
    }

    /// Runs `future` to its end beside the upload.
    pub(crate) fn alongside<'w, T: Future>(
        &'w mut self,
        watch: &'w Watch,
        try_deadline: Option<Instant>,
        timer: &'w mut Timer,
        future: T,
    ) -> Watched<'w, Both<'w, 'f, F, T>> {
        watch.run(
            try_deadline,
            timer,
            Both {
                upload: self,
                future,
            },
        )
    }
}

pin_project! {
    /// See [`Watch::run`].
    pub(crate) struct Watched<'w, T> {
        watch: &'w Watch,
        try_deadline: Option<Instant>,
        timer: &'w mut Timer,
        #[pin]
        future: T,
    }
}

impl<T, O> Future for Watched<'_, T>
where
    T: Future<Output = Result<O, Stop>>,
{
    type Output = Result<O, Stop>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => this.watch.poll(*this.try_deadline, this.timer, cx).map(Err),
        }
    }
}

pin_project! {
    /// See [`Upload::alongside`].
    pub(crate) struct Both<'w, 'f, F, T> {
        upload: &'w mut Upload<'f, F>,
        #[pin]
        future: T,
    }
}

impl<F, T> Future for Both<'_, '_, F, T>
where
    F: Future<Output = Result<(), TransferError>>,
    T: Future,
{
    type Output = Result<T::Output, Stop>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.upload.poll(cx) {
            Poll::Ready(stop) => Poll::Ready(Err(stop)),
            Poll::Pending => this.future.poll(cx).map(Ok),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[tokio::test]
    async fn a_shorter_idle_time_holds_at_once() {
        let watch = Watch::new(Instant::now(), None, Duration::from_secs(3600));
        let mut timer = Timer::default();
        let nothing = std::future::pending::<Result<(), Stop>>();
        let mut waiting = Box::pin(watch.run(None, &mut timer, nothing));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        watch.shorten(Duration::ZERO);
        let given_up = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(matches!(given_up, Ok(Err(Stop::Idle))));
    }
}
