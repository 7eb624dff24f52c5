//! Istio `VirtualService`, its HTTP part.

mod condition;
mod forwarding;
mod headers;
mod response;
mod rule;

pub(crate) use condition::MatchEntry;
pub(crate) use forwarding::{Destination, default_retries};
pub(crate) use rule::{Rule, RuleAction};

use super::names::{check_pattern, export_to, host};
use crate::decode::{Context, Fields, Located, NotServed, located, non_empty};

/// Rules for hosts.
#[derive(Debug)]
pub(crate) struct VirtualService {
    pub(crate) hosts: Vec<Located<String>>,
    /// `mesh`, `name`, or `namespace/name`. Never empty.
    pub(crate) gateways: Vec<Located<String>>,
    pub(crate) http: Vec<Rule>,
}

/// The name that stands for all clients inside the mesh.
pub(crate) const MESH: &str = "mesh";

const NOT_SERVED: &[NotServed] = &[
    ("tls", "TLS connections are not passed through"),
    ("tcp", "TCP connections are not forwarded"),
];

/// `kind: VirtualService`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<VirtualService> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let hosts = fields.list("hosts", located(host));
        let written_gateways = fields.list("gateways", located(non_empty));
        let http = fields.list("http", rule::decode);
        export_to(&mut fields);
        fields.not_served(NOT_SERVED);

        let is_delegate = hosts.is_empty() && written_gateways.is_empty();
        if is_delegate && !http.is_empty() {
            context.warning(
                node.place,
                "a VirtualService without hosts is a delegate, which is not served yet",
            );
        } else if hosts.is_empty() {
            fields.error_at("hosts", "is required");
        }
        if !["http", "tls", "tcp"]
            .iter()
            .any(|name| fields.is_written(name))
        {
            fields.error("has no rules: `http`, `tls` or `tcp` is required");
        }
        let mut gateways = written_gateways;
        if gateways.is_empty() {
            gateways.push(Located {
                value: MESH.to_owned(),
                place: node.place,
            });
        }
        let in_mesh = gateways.iter().any(|gateway| gateway.value == MESH);
        for host in &hosts {
            check_host(host, in_mesh && !is_delegate, context);
        }
        fields.finish();
        Some(VirtualService {
            hosts,
            gateways,
            http,
        })
    })
}

fn check_host(host: &Located<String>, in_mesh: bool, context: Context<'_>) {
    if let Err(why) = check_pattern(host) {
        context.error(host.place, why);
    } else if in_mesh && host.value == "*" {
        context.error(
            host.place,
            "`*` can't be used with gateway `mesh`; name the hosts, or a gateway in `gateways`",
        );
    }
}
