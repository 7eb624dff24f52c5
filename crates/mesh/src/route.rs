//! Which route a request takes: the function that the proxy, `dalbi explain` and `dalbi test` all call.

mod covering;
mod explain;
mod matching;
mod path;
mod pattern;
mod redirect;
mod rewrite;

use std::borrow::Cow;
use std::sync::Arc;

pub use explain::{Explanation, Rejection, Share};
pub(crate) use matching::query_value;
pub use matching::{
    HeaderMatch, Matched, Mismatch, QueryMatch, RequestMatch, StringMatch, UriMatch,
};
pub use path::normalize;
pub use pattern::Pattern;
pub use redirect::{Redirect, RedirectPort};
pub use rewrite::{PathRewrite, RegexRewrite, Rewrite};

use crate::hosts::HostMatch;
use crate::model::{Action, Cluster, ClusterId, Mesh, Route, VirtualHost, WeightedDestination};

/// What routing looks at. The dispatcher's own head types implement it, so nothing is copied.
pub trait RequestHead {
    /// `GET`.
    fn method(&self) -> &str;
    /// `http` or `https`, as the client reached us.
    fn scheme(&self) -> &str;
    /// `Host` or `:authority`, as sent.
    fn authority(&self) -> &str;
    /// Path and query. What a client sent goes through [`normalize`] first, or rules can be got around.
    fn path_and_query(&self) -> &str;
    /// A header's value by its lower-case name; several lines are joined with `,`.
    fn header<'a>(&'a self, name: &str) -> Option<Cow<'a, [u8]>>;
    /// Which of the listener's `tls.servers` the handshake chose (see [`crate::TlsTermination::select`]). `None`
    /// looks among the hosts of all of them.
    fn tls_server(&self) -> Option<usize> {
        None
    }
    /// The port that the client connected to, which need not be [`crate::Listener::port`] (`--port-offset`). Where
    /// it stands in the authority it says nothing about the service.
    fn local_port(&self) -> Option<u16> {
        None
    }
}

/// What happens to a request.
#[derive(Debug)]
pub enum Decision<'m> {
    /// Send it to a cluster.
    Forward {
        /// The rule.
        route: &'m Arc<Route>,
        /// The destination that the draw chose.
        destination: &'m WeightedDestination,
        /// What [`Rewrite::path_and_query`] wants to know.
        matched: Matched,
    },
    /// Answer with a redirect.
    Redirect {
        /// The rule.
        route: &'m Arc<Route>,
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Value of `Location`.
        location: String,
    },
    /// Answer as the rule's [`Action::DirectResponse`] says.
    DirectResponse {
        /// The rule.
        route: &'m Arc<Route>,
    },
    /// 421: another of the listener's TLS servers has the host than the one that the handshake chose. The client has
    /// to come again on a connection of its own (RFC 9110 section 15.5.20).
    Misdirected,
    /// 404, response flag `NR`: nobody has the host, or no rule matches.
    NotFound,
}

/// Watches the rules being tried. Calls vanish for `()`, which live requests use.
trait Trace<'m> {
    fn mismatch(&mut self, route: &'m Route, entry: usize, mismatch: Mismatch<'m>);
    fn chosen(&mut self, route: &'m Route);
}

impl<'m> Trace<'m> for () {
    fn mismatch(&mut self, _: &'m Route, _: usize, _: Mismatch<'m>) {}
    fn chosen(&mut self, _: &'m Route) {}
}

impl Mesh {
    /// What happens to a request that arrives on the listener at this position. `draw` is a uniformly random
    /// number that chooses among weighted destinations. Nothing is allocated unless the answer is a redirect.
    pub fn route<'m>(
        &'m self,
        listener: usize,
        head: &impl RequestHead,
        draw: u64,
    ) -> Decision<'m> {
        self.route_traced(listener, head, draw, &mut ())
    }

    /// The cluster behind an id of this mesh.
    pub fn cluster(&self, id: ClusterId) -> &Cluster {
        &self.clusters[id.0 as usize]
    }

    /// The cluster of a name such as `outbound|9080|v1|reviews.default.svc.cluster.local`.
    pub fn find_cluster(&self, name: &str) -> Option<(ClusterId, &Cluster)> {
        let position = self
            .clusters
            .iter()
            .position(|cluster| cluster.name == name)?;
        Some((
            ClusterId(u32::try_from(position).ok()?),
            &self.clusters[position],
        ))
    }

    fn virtual_host(
        &self,
        listener: usize,
        head: &impl RequestHead,
    ) -> Option<(&VirtualHost, HostMatch)> {
        let listener = self.listeners.get(listener)?;
        let hosts = match head.tls_server() {
            Some(server) => listener.server_hosts.get(server)?,
            None => &listener.hosts,
        };
        let own_port = head.local_port().unwrap_or(listener.port);
        let (id, kind) = hosts.lookup(head.authority(), own_port)?;
        Some((hosts.virtual_host(id), kind))
    }

    /// A host that nobody has is not misdirected; it finds no route.
    fn is_misdirected(&self, listener: usize, head: &impl RequestHead) -> bool {
        let Some(server) = head.tls_server() else {
            return false;
        };
        let listener = self.listeners.get(listener);
        let termination = listener.and_then(|listener| listener.tls.as_ref());
        termination.is_some_and(|termination| {
            let better = |best: usize| best != server;
            let host = Some(head.authority());
            termination.servers.len() > 1 && termination.select(host).is_some_and(better)
        })
    }

    fn route_traced<'m>(
        &'m self,
        listener: usize,
        head: &impl RequestHead,
        draw: u64,
        trace: &mut impl Trace<'m>,
    ) -> Decision<'m> {
        if self.is_misdirected(listener, head) {
            return Decision::Misdirected;
        }
        let Some((virtual_host, _)) = self.virtual_host(listener, head) else {
            return Decision::NotFound;
        };
        let documented_port = self.listeners[listener].port;
        for route in virtual_host.all_routes() {
            let Some(matched) = first_match(route, head, trace) else {
                continue;
            };
            trace.chosen(route);
            return match &route.action {
                Action::Forward(destinations) => match draw_destination(destinations, draw) {
                    Some(destination) => Decision::Forward {
                        route,
                        destination,
                        matched,
                    },
                    None => Decision::NotFound,
                },
                Action::Redirect(redirect) => Decision::Redirect {
                    route,
                    status: redirect.status,
                    location: redirect.location_on(documented_port, head, matched),
                },
                Action::DirectResponse { .. } => Decision::DirectResponse { route },
            };
        }
        Decision::NotFound
    }
}

fn first_match<'m>(
    route: &'m Route,
    head: &impl RequestHead,
    trace: &mut impl Trace<'m>,
) -> Option<Matched> {
    if route.matches.is_empty() {
        return Some(Matched::Prefix(1));
    }
    for (entry, request_match) in route.matches.iter().enumerate() {
        match request_match.matched(head) {
            Ok(matched) => return Some(matched),
            Err(mismatch) => trace.mismatch(route, entry, mismatch),
        }
    }
    None
}

/// A destination by weight; a single one whatever its weight.
pub(crate) fn draw_destination(
    destinations: &[WeightedDestination],
    draw: u64,
) -> Option<&WeightedDestination> {
    if let [only] = destinations {
        return Some(only);
    }
    let total: u64 = destinations
        .iter()
        .map(|destination| u64::from(destination.weight))
        .sum();
    // Multiply instead of modulo: scales the draw to 0..total without bias towards the first ones.
    let mut rest = ((u128::from(draw) * u128::from(total)) >> 64) as u64;
    destinations.iter().find(|destination| {
        let weight = u64::from(destination.weight);
        let hit = rest < weight;
        rest = rest.saturating_sub(weight);
        hit
    })
}
