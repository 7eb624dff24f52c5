//! What it matters where endpoints run.

use crate::Locality;

/// What it matters where endpoints run: Istio's `localityLbSetting`, or the learned policy's prices.
///
/// Anything but [`Prices`](Self::Prices) puts endpoints in priority levels or weighted localities, and a
/// request first gets one of these by chance, then an endpoint in it by the [`Policy`](crate::Policy). Prices
/// of crossings then count for nothing.
///
/// Levels are Envoy's ("Priority levels" in its architecture overview): the health of a level is 1.4 times
/// the share of its endpoints that are healthy and not ejected, at most 100 %. The first level gets that share
/// of all requests, the next as much of the rest, and so on; if the levels together have less than 100 %,
/// shares are scaled up to that. `min_health_percent` is asked of each level, but there is no panic while the
/// levels together have 100 %; where all panic, each has requests by the number of its endpoints. A list that
/// comes out as a single level is balanced as if there were none. Consistent hashing finds a key's level, or
/// locality, by the key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LocalityPolicy {
    /// The learned policy's prices of crossings ([`Alba::prices`](crate::Alba::prices)); other policies take no
    /// notice.
    #[default]
    Prices,
    /// Levels by how near an endpoint is to [`Settings::origin`](crate::Settings::origin) (Istio's
    /// `failover`): its sub-zone, its zone, its region, the region that the first rule for the origin's region
    /// names, all others. Without a rule for it, all other regions are one level. Where the origin is not known,
    /// all are. [`Endpoint::priority`](crate::Endpoint::priority) counts first, if it is set.
    Failover(Vec<FailoverRule>),
    /// Levels are what [`Endpoint::priority`](crate::Endpoint::priority) says (Istio's `failoverPriority`).
    Priorities,
    /// Shares of localities by the first rule for the origin (Istio's `distribute`, Envoy's "Locality weighted
    /// load balancing"): each locality's weight times 1.4 times the share of its endpoints that are healthy and
    /// not ejected, at most its weight. Without a rule for the origin all endpoints are picked from alike.
    Distribute(Vec<DistributeRule>),
}

/// Where to go when a region fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverRule {
    /// The region of the origin.
    pub from: String,
    /// The region that comes next.
    pub to: String,
}

/// What shares localities have of an origin's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributeRule {
    /// Where the dispatcher is; fields that are `*` or empty match anything.
    pub from: Locality,
    /// Where endpoints are, in the same manner, and weights, in percent if their sum is 100. An endpoint belongs
    /// to the first that matches; one that none matches gets no requests. Localities that match the same
    /// share its weight by the weights of their endpoints.
    pub to: Vec<(Locality, u32)>,
}
