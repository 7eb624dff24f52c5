//! Why a request takes the route it takes.

use super::{Decision, RequestHead, Trace};
use crate::hosts::HostMatch;
use crate::model::{Action, Mesh, Route, VirtualHost};
use crate::route::Mismatch;

/// The decision for one request with what led to it. Made by the code that routes live requests.
#[derive(Debug)]
pub struct Explanation<'m> {
    /// The virtual host that the authority led to, and by what kind of pattern; `None` when nobody has that name.
    pub virtual_host: Option<(&'m VirtualHost, HostMatch)>,
    /// Rules before the chosen one (all, if none was chosen), in order.
    pub rejected: Vec<Rejection<'m>>,
    /// What happens.
    pub decision: Decision<'m>,
    /// Destinations of the chosen rule.
    pub shares: Vec<Share>,
    /// The path and query that the upstream sees, if they differ.
    pub path_and_query: Option<String>,
    /// The authority that the upstream sees, if a rewrite changes it (header operations may do so too).
    pub authority: Option<String>,
}

/// A rule that the request does not match.
#[derive(Debug)]
pub struct Rejection<'m> {
    /// The rule.
    pub route: &'m Route,
    /// For each of its match entries, the first condition that is not fulfilled.
    pub reasons: Vec<String>,
}

/// One destination's share of the requests that take a route.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The cluster's name, or what is missing.
    pub cluster: Result<String, String>,
    /// 0 to 1.
    pub share: f64,
}

impl Mesh {
    /// [`Mesh::route`], telling why.
    pub fn explain(&self, listener: usize, head: &impl RequestHead, draw: u64) -> Explanation<'_> {
        let mut story = Story {
            head,
            rejected: Vec::new(),
        };
        let virtual_host = self.virtual_host(listener, head);
        let decision = self.route_traced(listener, head, draw, &mut story);
        let (mut shares, mut path_and_query, mut authority) = (Vec::new(), None, None);
        if let Decision::Forward { route, matched, .. } = &decision {
            shares = self.shares(route);
            if let Some(rewrite) = &route.rewrite {
                path_and_query = rewrite
                    .path_and_query(head, *matched)
                    .map(std::borrow::Cow::into_owned);
                authority = rewrite.authority().map(str::to_owned);
            }
        }
        Explanation {
            virtual_host,
            rejected: story.rejected,
            decision,
            shares,
            path_and_query,
            authority,
        }
    }

    /// The destinations of a route with their shares.
    fn shares(&self, route: &Route) -> Vec<Share> {
        let Action::Forward(destinations) = &route.action else {
            return Vec::new();
        };
        let total: u64 = destinations
            .iter()
            .map(|destination| u64::from(destination.weight))
            .sum();
        let share = |weight: u32| {
            if destinations.len() == 1 {
                1.0
            } else {
                f64::from(weight) / total.max(1) as f64
            }
        };
        destinations
            .iter()
            .map(|destination| Share {
                cluster: destination
                    .cluster
                    .as_ref()
                    .map(|id| self.cluster(*id).name.clone())
                    .map_err(|missing| missing.reason.clone()),
                share: share(destination.weight),
            })
            .collect()
    }
}

struct Story<'h, 'm, H> {
    head: &'h H,
    rejected: Vec<Rejection<'m>>,
}

impl<'m, H: RequestHead> Trace<'m> for Story<'_, 'm, H> {
    fn mismatch(&mut self, route: &'m Route, entry: usize, mismatch: Mismatch<'m>) {
        let reason = mismatch.describe(self.head);
        match self.rejected.last_mut() {
            Some(last) if entry > 0 && std::ptr::eq(last.route, route) => last.reasons.push(reason),
            _ => self.rejected.push(Rejection {
                route,
                reasons: vec![reason],
            }),
        }
    }

    fn chosen(&mut self, route: &'m Route) {
        // Earlier match entries of the chosen rule are not a rejection of it.
        if self
            .rejected
            .last()
            .is_some_and(|last| std::ptr::eq(last.route, route))
        {
            self.rejected.pop();
        }
    }
}
