//! A picked endpoint, counted in flight until it is completed.

use std::sync::Arc;

use crate::endpoint::EndpointState;
use crate::{EndpointId, Locality, Time};

/// What the balancer may know of the request it picks for.
///
/// Fill it with `..PickRequest::default()`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PickRequest<'a> {
    /// Endpoints already tried by earlier attempts: avoided unless nothing else is left.
    pub tried: &'a [EndpointId],
    /// The consistent-hash key, where the policy wants one.
    pub hash: Option<u64>,
    /// Where the user is, if that is known better than by where the dispatcher runs.
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
}

impl Pick {
    pub(crate) fn begin(state: &Arc<EndpointState>, index: u32, sent: Time) -> Self {
        state.begin();
        Self {
            state: Arc::clone(state),
            index,
            sent,
        }
    }

    /// Position in the endpoint list of the balancer that picked.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The picked endpoint.
    pub fn id(&self) -> EndpointId {
        self.state.id
    }

    /// When it was picked.
    pub fn sent(&self) -> Time {
        self.sent
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.state.end();
    }
}
