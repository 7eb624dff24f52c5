//! Whose turn it is: start-time fair queueing (Goyal, Vin and Cheng 1997) over tenants.
//!
//! Each tenant's requests are laid end to end on its own line, as long as they cost divided by its weight;
//! the request that starts first goes first, and virtual time is the start of the one that went last. Who
//! was away starts at virtual time, so that nobody saves up. Work is conserved: whoever has something
//! waiting is served while others have not.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::TenantId;
use crate::Time;

/// A request that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) class: u32,
    pub(super) since: Time,
    /// When it has waited long enough.
    pub(super) expires: Time,
    pub(super) deadline: Option<Time>,
}

#[derive(Debug, Default)]
pub(super) struct FairQueue {
    virtual_time: f64,
    tenants: BTreeMap<TenantId, Line>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Line {
    /// Where its last request ended.
    end: f64,
    waiting: VecDeque<Waiting>,
    /// When its queue was last empty.
    backlogged_since: Time,
}

/// Tenants that have nothing waiting and no lead are forgotten beyond this many.
const MAX_IDLE_TENANTS: usize = 1024;

impl FairQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn waiting(&self, tenant: TenantId) -> usize {
        let line = self.tenants.get(&tenant);
        line.map_or(0, |line| line.waiting.len())
    }

    /// A request goes without having waited; it is `length` long.
    pub(super) fn pass(&mut self, tenant: TenantId, length: f64) {
        let line = self.tenants.entry(tenant).or_default();
        let start = line.end.max(self.virtual_time);
        line.end = start + length;
        self.virtual_time = start;
        self.forget_idle();
    }

    pub(super) fn push(&mut self, tenant: TenantId, waiting: Waiting) {
        let line = self.tenants.entry(tenant).or_default();
        if line.waiting.is_empty() {
            line.backlogged_since = waiting.since;
        }
        line.waiting.push_back(waiting);
        self.waiting += 1;
    }

    /// The request that goes next; `length` says how long it is. A tenant's oldest goes first, but its
    /// newest once it has been backlogged for `lifo_after`: the oldest would all be as old as is allowed.
    pub(super) fn pop(
        &mut self,
        now: Time,
        lifo_after: Duration,
        length: impl Fn(TenantId, u32) -> f64,
    ) -> Option<(TenantId, Waiting)> {
        let virtual_time = self.virtual_time;
        let start = |line: &Line| line.end.max(virtual_time);
        let backlogged = self
            .tenants
            .iter_mut()
            .filter(|(_, line)| !line.waiting.is_empty());
        let (&tenant, line) = backlogged.min_by(|(_, a), (_, b)| start(a).total_cmp(&start(b)))?;
        let waiting = if now.since(line.backlogged_since) > lifo_after {
            line.waiting.pop_back()?
        } else {
            line.waiting.pop_front()?
        };
        self.waiting -= 1;
        let start = start(line);
        line.end = start + length(tenant, waiting.class);
        self.virtual_time = start;
        Some((tenant, waiting))
    }

    /// A request was longer than assumed, or shorter if `by` is negative.
    pub(super) fn correct(&mut self, tenant: TenantId, by: f64) {
        if let Some(line) = self.tenants.get_mut(&tenant) {
            line.end += by;
        }
    }

    pub(super) fn remove(&mut self, tenant: TenantId, number: u64) -> bool {
        let Some(line) = self.tenants.get_mut(&tenant) else {
            return false;
        };
        let Some(at) = line.waiting.iter().position(|it| it.number == number) else {
            return false;
        };
        line.waiting.remove(at);
        self.waiting -= 1;
        true
    }

    /// Removes what expires by `now`; returns the numbers, and when the next expires.
    pub(super) fn expire(&mut self, now: Time) -> (Vec<u64>, Option<Time>) {
        let (mut expired, mut next) = (Vec::new(), None::<Time>);
        for line in self.tenants.values_mut() {
            line.waiting.retain(|waiting| {
                let stays = waiting.expires > now;
                if stays {
                    next = Some(next.map_or(waiting.expires, |next| next.min(waiting.expires)));
                } else {
                    expired.push(waiting.number);
                }
                stays
            });
        }
        self.waiting -= expired.len();
        (expired, next)
    }

    fn forget_idle(&mut self) {
        if self.tenants.len() > MAX_IDLE_TENANTS {
            let virtual_time = self.virtual_time;
            self.tenants
                .retain(|_, line| !line.waiting.is_empty() || line.end > virtual_time);
        }
    }
}
