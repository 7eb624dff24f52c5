//! Whose turn it is: start-time fair queueing (Goyal, Vin and Cheng 1997) over tenants.
//!
//! Each tenant's requests are laid end to end on its own line, as long as they cost divided by its weight;
//! the request that starts first goes first, and virtual time is the start of the one that went last. Who
//! was away starts at virtual time, so that nobody saves up. Work is conserved: whoever has something
//! waiting is served while others have not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// What waits, in the order in which it expires: the number, and in whose line.
    expiries: BTreeSet<(Time, u64, TenantId)>,
    /// Requests sent to the shared line since idle ones were last looked for.
    shared: u32,
}

#[derive(Debug, Default)]
struct Line {
    /// Where its last request ended.
    end: f64,
    /// By ascending number.
    waiting: VecDeque<Waiting>,
    /// When its queue was last empty.
    backlogged_since: Time,
}

/// Tenants beyond this many share one line: names may come from clients, and each turn looks at all lines.
const MAX_TENANTS: usize = 1024;

/// Who waits in the line of those beyond.
const SHARED: TenantId = TenantId(u64::MAX);

/// Tenants that have nothing waiting and no lead are looked for once in so many requests that found no line
/// of their own.
const FORGET_EVERY: u32 = 64;

impl FairQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.expiries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.expiries.len()
    }

    /// In whose line a request of `tenant` goes. Who is `listed` always has a line of its own.
    pub(super) fn seat(&mut self, tenant: TenantId, listed: bool) -> TenantId {
        let has_line = |tenants: &BTreeMap<_, _>| {
            listed || tenants.len() < MAX_TENANTS || tenants.contains_key(&tenant)
        };
        if has_line(&self.tenants) {
            return tenant;
        }
        if self.shared == 0 {
            self.forget_idle();
        }
        self.shared = (self.shared + 1) % FORGET_EVERY;
        if has_line(&self.tenants) {
            tenant
        } else {
            SHARED
        }
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
    }

    pub(super) fn push(&mut self, tenant: TenantId, waiting: Waiting) {
        self.expiries
            .insert((waiting.expires, waiting.number, tenant));
        let line = self.tenants.entry(tenant).or_default();
        if line.waiting.is_empty() {
            line.backlogged_since = waiting.since;
        }
        line.waiting.push_back(waiting);
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
        self.expiries
            .remove(&(waiting.expires, waiting.number, tenant));
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

    /// A request of `tenant` does not wait any more. False if it did not.
    pub(super) fn remove(&mut self, tenant: TenantId, number: u64) -> bool {
        for tenant in [tenant, SHARED] {
            if let Some(waiting) = self.take(tenant, number) {
                self.expiries.remove(&(waiting.expires, number, tenant));
                return true;
            }
        }
        false
    }

    /// Removes what expires by `now`; returns the numbers, and when the next expires.
    pub(super) fn expire(&mut self, now: Time) -> (Vec<u64>, Option<Time>) {
        let mut expired = Vec::new();
        while let Some(&(expires, number, tenant)) = self.expiries.first() {
            if expires > now {
                return (expired, Some(expires));
            }
            self.expiries.pop_first();
            self.take(tenant, number);
            expired.push(number);
        }
        (expired, None)
    }

    /// Takes a request out of its line.
    fn take(&mut self, tenant: TenantId, number: u64) -> Option<Waiting> {
        let line = self.tenants.get_mut(&tenant)?;
        let at = line
            .waiting
            .binary_search_by_key(&number, |it| it.number)
            .ok()?;
        line.waiting.remove(at)
    }

    fn forget_idle(&mut self) {
        let virtual_time = self.virtual_time;
        self.tenants
            .retain(|_, line| !line.waiting.is_empty() || line.end > virtual_time);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting(number: u64) -> Waiting {
        Waiting {
            number,
            class: 0,
            since: Time::ZERO,
            expires: Time::from_nanos(1),
            deadline: None,
        }
    }

    fn pop(queue: &mut FairQueue, lengths: &[f64]) -> Option<usize> {
        let length = |tenant: TenantId, _| lengths[tenant.0 as usize];
        let popped = queue.pop(Time::ZERO, Duration::MAX, length);
        popped.map(|(tenant, _)| tenant.0 as usize)
    }

    #[test]
    fn who_was_away_has_saved_nothing_up() {
        let mut queue = FairQueue::default();
        for number in 0..100 {
            queue.push(TenantId(0), waiting(number));
        }
        (0..50).for_each(|_| assert_eq!(pop(&mut queue, &[1.0, 1.0]), Some(0)));
        for number in 100..200 {
            queue.push(TenantId(1), waiting(number));
        }
        let turns: Vec<_> = (0..20).map(|_| pop(&mut queue, &[1.0, 1.0])).collect();
        let of_new = turns.iter().filter(|turn| **turn == Some(1)).count();
        assert!((9..=11).contains(&of_new), "{turns:?}");
    }

    #[test]
    fn a_request_that_was_longer_is_made_up_for() {
        let mut queue = FairQueue::default();
        for number in 0..40 {
            queue.push(TenantId(number % 2), waiting(number));
        }
        let mut turns = [0; 2];
        for _ in 0..20 {
            let tenant = pop(&mut queue, &[1.0, 1.0]).expect("both wait");
            turns[tenant] += 1;
            if tenant == 0 {
                queue.correct(TenantId(0), 2.0);
            }
        }
        assert_eq!(turns, [5, 15]);
    }

    #[test]
    fn names_of_tenants_are_not_kept_for_ever() {
        let mut queue = FairQueue::default();
        for tenant in 0..10_000 {
            let line = queue.seat(TenantId(tenant), false);
            queue.push(line, waiting(tenant));
            let popped = queue.pop(Time::ZERO, Duration::MAX, |_, _| 0.0);
            assert!(popped.is_some());
        }
        assert!(queue.tenants.len() <= MAX_TENANTS + 1);
    }

    #[test]
    fn made_up_tenants_share_a_line_and_listed_ones_do_not() {
        let mut queue = FairQueue::default();
        for tenant in 0..10_000 {
            let line = queue.seat(TenantId(tenant), false);
            queue.push(line, waiting(tenant));
        }
        assert_eq!(queue.tenants.len(), MAX_TENANTS + 1);
        assert_eq!(queue.waiting(SHARED), 10_000 - MAX_TENANTS);
        assert_eq!(queue.seat(TenantId(7), false), TenantId(7));
        assert_eq!(queue.seat(TenantId(20_000), true), TenantId(20_000));
        assert!(queue.remove(TenantId(9_999), 9_999));
        assert!(!queue.remove(TenantId(9_999), 9_999));
        assert_eq!(queue.len(), 9_999);
        let (expired, next) = queue.expire(Time::from_nanos(1));
        assert_eq!((expired.len(), next, queue.len()), (9_999, None, 0));
        assert!(queue.tenants.values().all(|line| line.waiting.is_empty()));
    }

    proptest! {
        /// Goyal and others, theorem 1: while two have something waiting, what they got per weight differs
        /// by no more than their longest requests. And nobody waits in vain.
        #[test]
        fn backlogged_tenants_stay_together(
            lengths in prop::collection::vec(0.1_f64..10.0, 2..6),
            steps in prop::collection::vec((0_usize..8, 0_usize..6), 1..400),
        ) {
            let mut queue = FairQueue::default();
            let mut number = 0;
            // Of each pair: what they got since both have been waiting.
            let tenants = lengths.len();
            let mut since = vec![vec![[0.0_f64; 2]; tenants]; tenants];
            for (what, tenant) in steps {
                if what < 4 {
                    number += 1;
                    queue.push(TenantId((tenant % tenants) as u64), waiting(number));
                } else {
                    let before = queue.len();
                    let popped = pop(&mut queue, &lengths);
                    prop_assert_eq!(popped.is_some(), before > 0);
                    if let Some(popped) = popped {
                        for (other, got) in since[popped].iter_mut().enumerate() {
                            if other != popped {
                                got[0] += lengths[popped];
                            }
                        }
                        for (other, got) in since.iter_mut().enumerate() {
                            if other != popped {
                                got[popped][1] += lengths[popped];
                            }
                        }
                    }
                }
                for a in 0..tenants {
                    for b in 0..tenants {
                        let both = [a, b].map(|it| queue.waiting(TenantId(it as u64)) > 0);
                        if both != [true, true] {
                            since[a][b] = [0.0; 2];
                            continue;
                        }
                        let [got_a, got_b] = since[a][b];
                        let most = lengths[a] + lengths[b];
                        prop_assert!((got_a - got_b).abs() <= most + 1e-9, "{a} {b}: {got_a} {got_b}");
                    }
                }
            }
        }
    }
}
