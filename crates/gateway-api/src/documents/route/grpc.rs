//! `GRPCRoute`. gRPC's methods are HTTP paths, and so its matches become HTTP's.

use manifests::decode::{Fields, non_empty};

use super::{Route, RouteKind, Rule, backend, filters, matches};
use crate::attached::{HttpMatch, Timeouts};

pub(crate) fn decode(object: &mut Fields<'_>) -> Option<Route> {
    super::decode(object, RouteKind::Grpc, rule)
}

fn rule(fields: &mut Fields<'_>) -> Option<Rule> {
    let name = fields.optional("name", non_empty);
    let mut matches = fields.list("matches", matches::grpc);
    if matches.is_empty() && fields.node("matches").is_none_or(|node| node.len() == 0) {
        matches.push(HttpMatch::default());
    }
    let filters = filters::decode(fields, RouteKind::Grpc);
    let backends = fields.list("backendRefs", |node, context| {
        backend(node, context, RouteKind::Grpc)
    });
    super::session_persistence(fields);
    Some(Rule {
        name,
        matches,
        filters,
        backends,
        timeouts: Timeouts::default(),
        retry: None,
        place: fields.place,
    })
}
