//! From a request's head to what is sent where: everything that needs the head, in one synchronous step.

use std::rc::Rc;
use std::sync::Arc;

use alba::{Rng, TenantId};
use http1::Body;
use mesh::{
    Action, Decision, Fault, HeaderEdits, HeaderOperations, Matched, Mirror, Route,
    UpstreamProtocol, WeightedDestination,
};

use super::affinity::Affinity;
use super::cors::{self, Granted, Verdict};
use super::encode::{Outgoing, UpstreamHead};
use super::faults;
use super::fields::{Edits, Origin};
use super::flags::Flags;
use super::mirror::{self, Common, Copy, Dropped, Feeders};
use super::reply::Reply;
use crate::admission::Gate;
use crate::client::Standing;
use crate::http::view::RequestView;
use crate::snapshot::{LocalCluster, LocalSnapshot};
use crate::telemetry::record::Record;
use crate::worker::Worker;

/// What becomes of a request.
pub(crate) enum Prepared<'m> {
    /// An endpoint answers it.
    Forward(Forward<'m>),
    /// We do.
    Reply(Reply, Edits<'m>),
}

/// A request on its way to a cluster.
pub(crate) struct Forward<'m> {
    pub(crate) route: &'m Route,
    pub(crate) cluster: &'m Rc<LocalCluster>,
    response_edits: Edits<'m>,
    pub(crate) affinity: Affinity,
    /// The origin that may read the answer, if another page's script asks.
    pub(crate) grant: Option<Box<Granted<'m>>>,
    /// To be made of it once it has been let on.
    copies: Vec<Copy>,
    pub(crate) head: UpstreamHead,
    pub(crate) body: Body,
    pub(crate) facts: Facts,
}

impl Forward<'_> {
    /// Where the request waits for its tenant's turn, if tenants have shares.
    pub(crate) fn gate(&self) -> Option<(&Arc<Gate>, (TenantId, u32))> {
        self.cluster.shared.gate.as_ref().zip(self.affinity.tenant)
    }

    /// What an endpoint's answer is changed by.
    pub(crate) fn answer_edits(&self) -> Edits<'_> {
        Edits {
            cookie: self.affinity.cookie.as_deref(),
            ..self.reply_edits()
        }
    }

    /// Sends its copies on their way; see [`mirror::start`].
    pub(crate) fn start_copies(&mut self, worker: &Worker) -> Feeders {
        if self.copies.is_empty() {
            return Feeders::default();
        }
        let common = Common {
            body: self.body,
            is_head: self.facts.is_head,
            timeout: self.route.timeout,
        };
        mirror::start(worker, std::mem::take(&mut self.copies), common)
    }

    /// What an answer of our own is changed by.
    pub(crate) fn reply_edits(&self) -> Edits<'_> {
        Edits {
            grant: self.grant.as_deref(),
            ..self.response_edits
        }
    }
}

/// What the rest of the exchange wants to know of the head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// HEAD: the answer has no body.
    pub(crate) is_head: bool,
    /// Safe to send twice (RFC 9110 section 9.2.2).
    pub(crate) is_idempotent: bool,
    pub(crate) is_grpc: bool,
    /// The client asks to switch protocols.
    pub(crate) upgrades: bool,
    /// The client waits for `100 Continue` and the endpoint won't be asked for it.
    pub(crate) owes_continue: bool,
}

/// No changes.
pub(crate) const NO_EDITS: Edits<'static> = Edits::new([&NO_OPERATIONS, &NO_OPERATIONS]);
static NO_OPERATIONS: HeaderOperations = HeaderOperations {
    set: Vec::new(),
    add: Vec::new(),
    remove: Vec::new(),
};

/// Routes a request and encodes it for its cluster.
pub(crate) fn prepare<'m>(
    worker: &Worker,
    snapshot: &'m LocalSnapshot,
    standing: Standing,
    origin: &Origin,
    head: &impl RequestView,
    record: &mut Record,
) -> Prepared<'m> {
    record.is_grpc = is_grpc(head);
    let listener = match standing {
        Standing::Served { listener, .. } => listener,
        Standing::Outdated => {
            let text = "misdirected request: this listener has changed; connect again\n";
            return Prepared::Reply(Reply::text(421, Flags::NO_ROUTE, text), NO_EDITS);
        }
        Standing::ListenerGone => {
            let text = "no route: this listener is no longer configured\n";
            return Prepared::Reply(Reply::text(404, Flags::NO_ROUTE, text), NO_EDITS);
        }
    };
    if head.has_bad_path() {
        let text = "malformed path: it has an escaped NUL or a fragment\n";
        let reply = Reply::text(400, Flags::DOWNSTREAM_PROTOCOL_ERROR, text);
        return Prepared::Reply(reply, NO_EDITS);
    }
    let draw = worker.rng.borrow_mut().u64();
    let decision = snapshot.mesh().route(listener, head, draw);
    let (route, destination) = match &decision {
        Decision::Misdirected => {
            let text =
                "misdirected request: this host needs a connection that asks for it by name\n";
            return Prepared::Reply(Reply::text(421, Flags::NO_ROUTE, text), NO_EDITS);
        }
        Decision::NotFound => {
            let text = "no route: no rule matches this host and path\n";
            return Prepared::Reply(Reply::text(404, Flags::NO_ROUTE, text), NO_EDITS);
        }
        Decision::Redirect { route, .. } | Decision::DirectResponse { route } => (*route, None),
        Decision::Forward {
            route, destination, ..
        } => (*route, Some(*destination)),
    };
    attribute(record, snapshot, route, destination);
    let edits = response_edits(route, destination.map(|destination| &destination.headers));
    // The order of Envoy's filters under Istio: faults, CORS, and the router last.
    if let Some(fault) = &route.fault
        && let Some(reply) = inject(worker, fault, record)
    {
        return Prepared::Reply(reply, edits);
    }
    let filters = destination.and_then(|destination| destination.filters.as_deref());
    let rules = filters.and_then(|filters| filters.cors.as_deref());
    let grant = match rules
        .or(route.cors.as_deref())
        .map(|rules| cors::judge(rules, head))
    {
        Some(Verdict::Preflight(reply)) => return Prepared::Reply(reply, edits),
        Some(Verdict::Granted(grant)) => Some(grant),
        Some(Verdict::Unaffected) | None => None,
    };
    let mut reply = match decision {
        Decision::Misdirected | Decision::NotFound => unreachable!("answered above"),
        Decision::Redirect {
            status, location, ..
        } => Reply::redirect(status, location),
        Decision::DirectResponse { route } => match &route.action {
            Action::DirectResponse { status, body } => Reply::direct(*status, body.clone()),
            Action::Forward(_) | Action::Redirect(_) => {
                unreachable!("the decision says direct response")
            }
        },
        Decision::Forward {
            route,
            destination,
            matched,
        } => {
            let chosen = Chosen {
                route,
                destination,
                matched,
                edits,
            };
            match chosen.forward(worker, snapshot, origin, head, record.is_grpc) {
                Ok(mut forward) => {
                    forward.grant = grant;
                    return Prepared::Forward(forward);
                }
                Err(reply) => reply,
            }
        }
    };
    if let Some(grant) = grant {
        grant.rights(&mut reply.headers);
    }
    Prepared::Reply(reply, edits)
}

/// Takes note of where a request would go, whatever becomes of it.
fn attribute(
    record: &mut Record,
    snapshot: &LocalSnapshot,
    route: &Route,
    destination: Option<&WeightedDestination>,
) {
    if let Some(line) = &mut record.line {
        line.route.clone_from(&route.name);
    }
    if let Some(Ok(id)) = destination.map(|destination| &destination.cluster) {
        let cluster = snapshot.cluster(*id);
        record.metrics = snapshot.metrics(*id).clone();
        if let Some(line) = &mut record.line {
            line.cluster.clone_from(&cluster.shared.config.name);
        }
    }
}

/// Draws the faults of one request. An answer: it is failed.
fn inject(worker: &Worker, fault: &Fault, record: &mut Record) -> Option<Reply> {
    let drawn = faults::draw(fault, &mut worker.rng.borrow_mut());
    if drawn.delay.is_some() {
        worker.traffic.delays.add();
        record.flags |= Flags::DELAY_INJECTED;
        record.delay = drawn.delay;
    }
    drawn.abort.inspect(|_| worker.traffic.aborts.add())
}

/// A rule and the destination that was drawn.
struct Chosen<'m> {
    route: &'m Route,
    destination: &'m WeightedDestination,
    matched: Matched,
    /// Changes to the answer.
    edits: Edits<'m>,
}

impl<'m> Chosen<'m> {
    /// The request on its way, or the answer where there is none.
    fn forward(
        &self,
        worker: &Worker,
        snapshot: &'m LocalSnapshot,
        origin: &Origin,
        head: &impl RequestView,
        is_grpc: bool,
    ) -> Result<Forward<'m>, Reply> {
        let (route, destination) = (self.route, self.destination);
        let filters = destination.filters.as_deref();
        if let Some(redirect) = filters.and_then(|filters| filters.redirect.as_ref()) {
            let location = redirect.location(head, self.matched);
            return Err(Reply::redirect(redirect.status, location));
        }
        let cluster = match &destination.cluster {
            Ok(id) => snapshot.cluster(*id),
            Err(missing) => {
                // Names of services are not the client's business; the log has the route, and `explain` the reason.
                tracing::debug!(route.name, missing.reason, "no cluster");
                let text = "no cluster: the route leads nowhere\n";
                return Err(Reply::text(missing.status, Flags::NO_CLUSTER, text));
            }
        };
        // The destination's own, where it has one, comes after the rule's and so replaces what that gave.
        let own = filters.and_then(|filters| filters.rewrite.as_ref());
        let rewrites = [own, route.rewrite.as_ref()].into_iter().flatten();
        let edits = Edits::new([&route.headers.request, &destination.headers.request]);
        let path = rewrites
            .clone()
            .find(|rewrite| rewrite.path.is_some())
            .and_then(|rewrite| rewrite.path_and_query(head, self.matched));
        let speaks_h1 = cluster.shared.config.protocol == UpstreamProtocol::Http1;
        let outgoing = Outgoing {
            origin,
            head,
            path: path.as_deref().unwrap_or_else(|| head.path_and_query()),
            authority: edits
                .authority()
                .or_else(|| rewrites.clone().find_map(mesh::Rewrite::authority)),
            edits,
            body: head.body(),
            // An HTTP/1.1 endpoint is asked itself; over HTTP/2 nobody waits, so we answer.
            passes_continue: head.is_http1() && speaks_h1,
            upgrades: head.upgrade().is_some() && speaks_h1,
        };
        let rng = &mut worker.rng.borrow_mut();
        // Copies draw the same request id.
        let copies = match self.mirrors(&outgoing).next() {
            None => Vec::new(),
            Some(_) => self.copies(worker, snapshot, &outgoing, rng),
        };
        let encoded = outgoing.encode(cluster, rng).map_err(|error| {
            let text = format!("request can't be carried over http/2: {error}\n");
            Reply::text(400, Flags::DOWNSTREAM_PROTOCOL_ERROR, text)
        })?;
        let method = head.method();
        Ok(Forward {
            route,
            cluster,
            response_edits: self.edits,
            affinity: Affinity::of(cluster, route, head, origin, rng),
            grant: None,
            copies,
            head: encoded,
            body: outgoing.body,
            facts: Facts {
                is_head: method == "HEAD",
                is_idempotent: matches!(
                    method,
                    "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE"
                ),
                is_grpc,
                upgrades: outgoing.upgrades,
                owes_continue: head.expects_continue() && !outgoing.passes_continue,
            },
        })
    }
}

impl<'m> Chosen<'m> {
    /// Where copies may go. An upgrade can't be copied: nobody would take what comes after it.
    fn mirrors<H>(&self, outgoing: &Outgoing<'_, H>) -> impl Iterator<Item = &'m Mirror> {
        let own = self.destination.filters.as_deref();
        let own = own.map_or(&[][..], |filters| &filters.mirrors);
        let all = self.route.mirrors.iter().chain(own);
        all.take(if outgoing.upgrades { 0 } else { usize::MAX })
    }

    /// The copies that are drawn for this request.
    fn copies<H: RequestView>(
        &self,
        worker: &Worker,
        snapshot: &LocalSnapshot,
        outgoing: &Outgoing<'_, H>,
        rng: &mut Rng,
    ) -> Vec<Copy> {
        let (head, origin) = (outgoing.head, outgoing.origin);
        let authority = outgoing.authority.unwrap_or_else(|| head.authority());
        let authority = mirror::authority(authority);
        let outgoing = Outgoing {
            authority: Some(&authority),
            passes_continue: false,
            ..*outgoing
        };
        let mut copies = Vec::new();
        for mirror in self.mirrors(&outgoing) {
            if !mirror.share.includes(rng.u64()) {
                continue;
            }
            let Ok(cluster) = &mirror.cluster else {
                worker.traffic.mirror_dropped(Dropped::NoCluster).add();
                continue;
            };
            let cluster = snapshot.cluster(*cluster);
            copies.push((
                cluster,
                Affinity::of(cluster, self.route, head, origin, rng),
            ));
        }
        let twin = rng.clone();
        let encode = |(cluster, affinity): (&Rc<LocalCluster>, Affinity)| {
            let head = outgoing.encode(cluster, &mut twin.clone()).ok()?;
            Some(Copy {
                cluster: cluster.clone(),
                head,
                affinity,
            })
        };
        copies.into_iter().filter_map(encode).collect()
    }
}

fn response_edits<'m>(route: &'m Route, destination: Option<&'m HeaderEdits>) -> Edits<'m> {
    let destination = destination.map_or(&NO_OPERATIONS, |edits| &edits.response);
    Edits::new([&route.headers.response, destination])
}

fn is_grpc(head: &impl RequestView) -> bool {
    let Some(kind) = mesh::RequestHead::header(head, "content-type") else {
        return false;
    };
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}
