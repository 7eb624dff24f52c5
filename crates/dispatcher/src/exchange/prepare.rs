//! From a request's head to what is sent where: everything that needs the head, in one synchronous step.

use std::rc::Rc;
use std::sync::Arc;

use alba::TenantId;
use http::HeaderMap;
use http1::Body;
use mesh::{
    Action, Decision, HeaderEdits, HeaderOperations, Matched, Route, UpstreamProtocol,
    WeightedDestination,
};

use super::affinity::Affinity;
use super::fields::{Edits, Origin, write_request_fields};
use super::flags::Flags;
use super::reply::Reply;
use crate::admission::Gate;
use crate::buffer;
use crate::http::view::{RequestView, write_field};
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
    pub(crate) response_edits: Edits<'m>,
    pub(crate) affinity: Affinity,
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
            ..self.response_edits
        }
    }
}

/// A request's head as its cluster takes it.
pub(crate) enum UpstreamHead {
    /// Encoded.
    H1(Vec<u8>),
    /// For the h2 crate; boxed, it is large.
    H2(Box<http::Request<()>>),
}

impl Drop for UpstreamHead {
    fn drop(&mut self) {
        if let Self::H1(bytes) = self {
            buffer::give(std::mem::take(bytes));
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
    listener: usize,
    origin: &Origin,
    head: &impl RequestView,
    record: &mut Record,
) -> Prepared<'m> {
    record.is_grpc = is_grpc(head);
    if head.has_bad_path() {
        let text = "malformed path: it has an escaped NUL or a fragment\n";
        let reply = Reply::text(400, Flags::DOWNSTREAM_PROTOCOL_ERROR, text);
        return Prepared::Reply(reply, NO_EDITS);
    }
    let draw = worker.rng.borrow_mut().u64();
    match snapshot.mesh().route(listener, head, draw) {
        Decision::NotFound => {
            let reply = Reply::text(
                404,
                Flags::NO_ROUTE,
                "no route: no rule matches this host and path\n",
            );
            Prepared::Reply(reply, NO_EDITS)
        }
        Decision::Redirect {
            route,
            status,
            location,
        } => {
            name_route(record, route);
            Prepared::Reply(
                Reply::redirect(status, location),
                response_edits(route, None),
            )
        }
        Decision::DirectResponse { route } => {
            name_route(record, route);
            let reply = match &route.action {
                Action::DirectResponse { status, body } => Reply::direct(*status, body.clone()),
                Action::Forward(_) | Action::Redirect(_) => {
                    unreachable!("the decision says direct response")
                }
            };
            Prepared::Reply(reply, response_edits(route, None))
        }
        Decision::Forward {
            route,
            destination,
            matched,
        } => {
            name_route(record, route);
            forward(
                worker,
                snapshot,
                origin,
                head,
                record,
                route,
                destination,
                matched,
            )
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one decision")]
fn forward<'m>(
    worker: &Worker,
    snapshot: &'m LocalSnapshot,
    origin: &Origin,
    head: &impl RequestView,
    record: &mut Record,
    route: &'m Route,
    destination: &'m WeightedDestination,
    matched: Matched,
) -> Prepared<'m> {
    let response_edits = response_edits(route, Some(&destination.headers));
    let cluster = match &destination.cluster {
        Ok(id) => snapshot.cluster(*id),
        Err(missing) => {
            // Names of services are not the client's business; the log has the route, and `explain` the reason.
            tracing::debug!(route.name, missing.reason, "no cluster");
            let text = "no cluster: the route leads nowhere\n";
            let reply = Reply::text(missing.status, Flags::NO_CLUSTER, text);
            return Prepared::Reply(reply, response_edits);
        }
    };
    record.metrics = cluster.metrics.clone();
    if let Some(line) = &mut record.line {
        line.cluster.clone_from(&cluster.shared.config.name);
    }
    let method = head.method();
    let rewrite = route.rewrite.as_ref();
    let edits = Edits::new([&route.headers.request, &destination.headers.request]);
    let path = rewrite.and_then(|rewrite| rewrite.path_and_query(head, matched));
    let target = Target {
        path: path.as_deref().unwrap_or_else(|| head.path_and_query()),
        authority: edits
            .authority()
            .or_else(|| rewrite.and_then(mesh::Rewrite::authority)),
    };
    let protocol = cluster.shared.config.protocol;
    let upgrades = head.upgrade().is_some() && protocol == UpstreamProtocol::Http1;
    // An HTTP/1.1 endpoint is asked itself; over HTTP/2 nobody waits, so we answer.
    let passes_continue = head.is_http1() && protocol == UpstreamProtocol::Http1;
    let body = head.body();
    let encoded = match protocol {
        UpstreamProtocol::Http1 => UpstreamHead::H1(encode_h1(
            worker,
            origin,
            head,
            &target,
            edits,
            body,
            passes_continue,
            upgrades,
        )),
        UpstreamProtocol::Http2 => {
            match encode_h2(worker, origin, head, &target, edits, body, cluster) {
                Ok(request) => UpstreamHead::H2(Box::new(request)),
                Err(error) => {
                    let text = format!("request can't be carried over http/2: {error}\n");
                    return Prepared::Reply(
                        Reply::text(400, Flags::DOWNSTREAM_PROTOCOL_ERROR, text),
                        response_edits,
                    );
                }
            }
        }
    };
    let affinity = Affinity::of(cluster, route, head, origin, &mut worker.rng.borrow_mut());
    Prepared::Forward(Forward {
        route,
        cluster,
        response_edits,
        affinity,
        head: encoded,
        body,
        facts: Facts {
            is_head: method == "HEAD",
            is_idempotent: matches!(
                method,
                "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE"
            ),
            is_grpc: record.is_grpc,
            upgrades,
            owes_continue: head.expects_continue() && !passes_continue,
        },
    })
}

/// Where a request goes after rewriting.
struct Target<'a> {
    path: &'a str,
    /// `None` keeps the request's.
    authority: Option<&'a str>,
}

#[expect(clippy::too_many_arguments, reason = "the parts of one head")]
fn encode_h1(
    worker: &Worker,
    origin: &Origin,
    head: &impl RequestView,
    target: &Target<'_>,
    edits: Edits<'_>,
    body: Body,
    passes_continue: bool,
    upgrades: bool,
) -> Vec<u8> {
    let mut out = buffer::take();
    out.extend_from_slice(head.method().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let keep_host = target.authority.is_none() && head.authority_is_host_field();
    if !keep_host {
        write_field(
            &mut out,
            "host",
            target
                .authority
                .unwrap_or_else(|| head.authority())
                .as_bytes(),
        );
    }
    write_request_fields(
        &mut out,
        head,
        origin,
        edits,
        keep_host,
        &mut worker.rng.borrow_mut(),
    );
    if head.expects_continue() && passes_continue {
        write_field(&mut out, "expect", b"100-continue");
    }
    if let (true, Some(protocol)) = (upgrades, head.upgrade()) {
        out.extend_from_slice(b"connection: upgrade\r\n");
        write_field(&mut out, "upgrade", protocol);
    }
    body.write_header(&mut out);
    out.extend_from_slice(b"\r\n");
    out
}

fn encode_h2(
    worker: &Worker,
    origin: &Origin,
    head: &impl RequestView,
    target: &Target<'_>,
    edits: Edits<'_>,
    body: Body,
    cluster: &LocalCluster,
) -> Result<http::Request<()>, http::Error> {
    let scheme = if cluster.shared.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let uri = http::Uri::builder()
        .scheme(scheme)
        .authority(target.authority.unwrap_or_else(|| head.authority()))
        .path_and_query(target.path)
        .build()?;
    let mut request = http::Request::builder()
        .method(head.method())
        .uri(uri)
        .version(http::Version::HTTP_2)
        .body(())?;
    let fields: &mut HeaderMap = request.headers_mut();
    write_request_fields(
        fields,
        head,
        origin,
        edits,
        false,
        &mut worker.rng.borrow_mut(),
    );
    if let Body::Length(length) = body {
        fields.insert(http::header::CONTENT_LENGTH, length.into());
    }
    // The only value of `te` that HTTP/2 carries, and gRPC servers insist on it.
    fields.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
    Ok(request)
}

fn response_edits<'m>(route: &'m Route, destination: Option<&'m HeaderEdits>) -> Edits<'m> {
    let destination = destination.map_or(&NO_OPERATIONS, |edits| &edits.response);
    Edits::new([&route.headers.response, destination])
}

fn name_route(record: &mut Record, route: &Route) {
    if let Some(line) = &mut record.line {
        line.route.clone_from(&route.name);
    }
}

fn is_grpc(head: &impl RequestView) -> bool {
    let Some(kind) = mesh::RequestHead::header(head, "content-type") else {
        return false;
    };
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}
