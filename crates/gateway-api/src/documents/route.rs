//! Routes: whom they attach to, for which host names, and their rules. HTTP's and gRPC's have the same shape once
//! they are read; those of TLS and TCP have rules without conditions.

pub(crate) mod filters;
pub(crate) mod grpc;
pub(crate) mod http;
mod matches;
mod retries;

use std::collections::BTreeSet;

use manifests::decode::{Context, Fields, Finding, Located, located, non_empty};
use manifests::yaml::{Node, Place};

use super::names::hostname;
use super::reference::{BackendRef, ParentRef, backend_fields, parent_ref, weight};
use crate::attached::{Filters, HttpMatch, Retry, Timeouts};

/// The four kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RouteKind {
    Http,
    Grpc,
    Tls,
    Tcp,
}

impl RouteKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tls => "TLSRoute",
            Self::Tcp => "TCPRoute",
        }
    }
}

/// What every kind has.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) kind: RouteKind,
    pub(crate) parents: Vec<ParentRef>,
    pub(crate) hostnames: Vec<Located<String>>,
    pub(crate) rules: Vec<Rule>,
}

/// One of `rules[]`.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Option<String>,
    /// Any of these; one that takes all stands for none written.
    pub(crate) matches: Vec<HttpMatch>,
    pub(crate) filters: Filters<BackendRef>,
    pub(crate) backends: Vec<WeightedBackend>,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: Option<Retry>,
    pub(crate) place: Place,
}

/// One of `backendRefs[]`.
#[derive(Debug)]
pub(crate) struct WeightedBackend {
    pub(crate) backend: BackendRef,
    pub(crate) weight: u32,
    pub(crate) filters: Filters<BackendRef>,
}

/// Reads what all kinds have around the rules that `rule` reads.
fn decode<'d>(
    object: &mut Fields<'d>,
    kind: RouteKind,
    rule: impl Fn(&mut Fields<'_>) -> Option<Rule>,
) -> Option<Route> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let parents = fields.list("parentRefs", parent_ref);
        check_parents(&parents, context);
        let hostnames = match kind {
            RouteKind::Tcp => Vec::new(),
            _ => fields.list("hostnames", located(hostname)),
        };
        let rules = fields.list("rules", |node, context| {
            let mut fields = Fields::of(node, context)?;
            let rule = rule(&mut fields);
            fields.finish();
            rule
        });
        check_names(&rules, context);
        fields.not_served(&[("useDefaultGateways", "name the Gateways in `parentRefs`")]);
        fields.finish();
        Some(Route {
            kind,
            parents,
            hostnames,
            rules,
        })
    })
}

/// References to the same parent differ in section or port, and all of them say it.
fn check_parents(parents: &[ParentRef], context: Context<'_>) {
    for (position, parent) in parents.iter().enumerate() {
        let same = |other: &&ParentRef| {
            let (a, b) = (&parent.object, &other.object);
            (&a.group, &a.kind, &a.namespace, &a.name) == (&b.group, &b.kind, &b.namespace, &b.name)
        };
        for other in parents[..position].iter().filter(same) {
            let place = parent.object.place;
            if (&parent.section, parent.port) == (&other.section, other.port) {
                context.error(place, "is the same parent as one before it");
            } else if (parent.section.is_none() && parent.port.is_none())
                || (other.section.is_none() && other.port.is_none())
            {
                let message =
                    "names the same parent as one before it: both need `sectionName` or `port`";
                context.error(place, message);
            }
        }
    }
}

fn check_names(rules: &[Rule], context: Context<'_>) {
    let mut names = BTreeSet::new();
    for rule in rules {
        if let Some(name) = &rule.name
            && !names.insert(name)
        {
            let message = format!("rule name `{name}` is there twice in the same route");
            context.error(rule.place, message);
        }
    }
}

/// `TLSRoute`.
pub(crate) fn decode_tls(object: &mut Fields<'_>, needs_hostnames: bool) -> Option<Route> {
    let place = object.node("spec").map(|spec| spec.place);
    let route = decode(object, RouteKind::Tls, stream_rule)?;
    if needs_hostnames && route.hostnames.is_empty() {
        let place = place.unwrap_or(object.place);
        object.context.error(place, "`hostnames` is required");
    }
    Some(route)
}

/// `TCPRoute`.
pub(crate) fn decode_tcp(object: &mut Fields<'_>) -> Option<Route> {
    decode(object, RouteKind::Tcp, stream_rule)
}

fn stream_rule(fields: &mut Fields<'_>) -> Option<Rule> {
    let name = fields.optional("name", non_empty);
    let backends = fields.list("backendRefs", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let backend = backend_fields(&mut fields);
        let weight = weight(&mut fields);
        fields.finish();
        Some(WeightedBackend {
            backend: backend?,
            weight,
            filters: Filters::default(),
        })
    });
    if fields
        .node("backendRefs")
        .is_none_or(|node| node.len() == 0)
    {
        fields.error_at("backendRefs", "needs at least one backend");
    }
    Some(Rule {
        name,
        matches: Vec::new(),
        filters: Filters::default(),
        backends,
        timeouts: Timeouts::default(),
        retry: None,
        place: fields.place,
    })
}

/// `backendRefs[]` with filters of their own.
fn backend<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
    kind: RouteKind,
) -> Option<WeightedBackend> {
    let mut fields = Fields::of(node, context)?;
    let backend = backend_fields(&mut fields);
    let weight = weight(&mut fields);
    let filters = filters::decode(&mut fields, kind);
    fields.finish();
    Some(WeightedBackend {
        backend: backend?,
        weight,
        filters,
    })
}

fn session_persistence(fields: &mut Fields<'_>) {
    if fields.node("sessionPersistence").is_some() {
        let message = "is not served: requests of a session are not kept together";
        let finding = Finding::warning(message);
        fields.report_at(
            "sessionPersistence",
            finding.help("a BalancingPolicy with a cookie does it for a whole service"),
        );
    }
}
