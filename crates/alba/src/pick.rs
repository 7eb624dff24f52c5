//! A picked endpoint, counted in flight until it is completed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::endpoint::EndpointState;
use crate::{EndpointId, Locality, Time};

/// What the balancer may know of the request it picks for.
///
/// Fill it with `..PickRequest::default()`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PickRequest<'a> {
    /// Endpoints already tried by earlier attempts: avoided unless nothing else is left. Empty if a further
    /// attempt may go to the same endpoint as well as to any (Istio's `retryIgnorePreviousHosts: false`).
    pub tried: &'a [EndpointId],
    /// Avoids all localities in which `tried` endpoints are, too, unless nothing else is left (Istio's
    /// `retryRemoteLocalities`).
    pub avoid_localities: bool,
    /// The consistent-hash key, where the policy wants one.
    pub hash: Option<u64>,
    /// Where the user is, if that is known better than by where the dispatcher runs. Only the learned policy's
    /// prices go by it.
    pub origin: Option<&'a Locality>,
}

/// One attempt on one endpoint. Hand it to [`Balancer::complete`](crate::Balancer::complete); one that is
/// dropped instead counts as cancelled, so that an in-flight count cannot leak.
#[derive(Debug)]
#[must_use = "dropping a pick completes it as cancelled"]
pub struct Pick {
    pub(crate) state: Arc<EndpointState>,
    index: u32,
    sent: Time,
    /// Requests that were in flight there already, as the learned policy saw it.
    pub(crate) queue: f32,
    /// Its answer has begun.
    answered: bool,
    /// The sum over all endpoints, if it is kept.
    total: Option<Arc<AtomicU32>>,
}

impl Pick {
    pub(crate) fn begin(state: &Arc<EndpointState>, index: u32, sent: Time, queue: f32) -> Self {
        state.begin(sent);
        Self {
            state: Arc::clone(state),
            index,
            sent,
            queue,
            answered: false,
            total: None,
        }
    }

    /// The same, counted in `total` for as long as it lives.
    pub(crate) fn counted_in(mut self, total: &Arc<AtomicU32>) -> Self {
        total.fetch_add(1, Ordering::Relaxed);
        self.total = Some(Arc::clone(total));
        self
    }

    /// Position in the endpoint list of the balancer that picked.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The picked endpoint.
    pub fn id(&self) -> EndpointId {
        self.state.id
    }

    /// Its answer began at `at`: from now on nobody waits for it, however long it goes on. An answer that is
    /// [completed](crate::Balancer::complete) at once need not be told of.
    pub fn answered(&mut self, at: Time) {
        if !self.answered {
            self.answered = true;
            self.state.answered();
            self.state.learned.heard(at);
        }
    }

    /// When it was picked.
    pub fn sent(&self) -> Time {
        self.sent
    }
}

/// A question for an endpoint's load. Hand it to [`Balancer::probed`](crate::Balancer::probed), whatever came
/// of it; one that is dropped instead counts as unanswered.
#[derive(Debug)]
#[must_use = "dropping a probe counts it as unanswered"]
pub struct Probe {
    pub(crate) state: Arc<EndpointState>,
    pub(crate) index: u32,
}

impl Probe {
    /// Position in the endpoint list of the balancer that asks.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The endpoint to ask.
    pub fn id(&self) -> EndpointId {
        self.state.id
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.state.learned.end_probe();
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.state.end(self.answered);
        if let Some(total) = &self.total {
            total.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
