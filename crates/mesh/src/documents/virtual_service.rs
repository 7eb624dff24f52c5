//! Istio `VirtualService`.

mod condition;
mod connection;
mod cors;
mod fault;
mod forwarding;
mod headers;
mod mirror;
mod response;
mod rule;

pub(crate) use condition::MatchEntry;
pub(crate) use connection::{ConnectionMatch, ConnectionRule};
pub(crate) use forwarding::{Destination, Target, default_retries, retries};
pub(crate) use rule::{DelegateTo, Rule, RuleAction};

use super::export_to::{self, ExportTo};
use super::names::{check_pattern, host};
use crate::decode::{Context, Fields, Finding, Located, located, non_empty};

/// Rules for hosts.
#[derive(Debug)]
pub(crate) struct VirtualService {
    /// Empty for one that others delegate to.
    pub(crate) hosts: Vec<Located<String>>,
    /// `mesh`, `name`, or `namespace/name`. Never empty.
    pub(crate) gateways: Vec<Located<String>>,
    pub(crate) http: Vec<Rule>,
    /// For connections that are passed through by the name that they ask for.
    pub(crate) tls: Vec<ConnectionRule>,
    /// For other connections.
    pub(crate) tcp: Vec<ConnectionRule>,
    pub(crate) export_to: ExportTo,
}

/// The name that stands for all clients inside the mesh.
pub(crate) const MESH: &str = "mesh";

/// `kind: VirtualService`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<VirtualService> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let hosts = fields.list("hosts", located(host));
        let written_gateways = fields.list("gateways", located(non_empty));
        let http = fields.list("http", rule::decode);
        let tls = fields.list("tls", connection::tls);
        let tcp = fields.list("tcp", connection::tcp);
        connection::check_sni_hosts(&tls, &hosts, context);
        let export_to = export_to::decode(&mut fields, false);

        let is_delegate = hosts.is_empty();
        if is_delegate {
            check_delegate(&http, &fields);
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
        for (name, rules) in [("tls", &tls), ("tcp", &tcp)] {
            if in_mesh && !rules.is_empty() && !is_delegate {
                let message = "are for gateways only: connections within the mesh would have to \
                               be captured, which is not done";
                fields.report_at(name, Finding::warning(message));
            }
        }
        fields.finish();
        Some(VirtualService {
            hosts,
            gateways,
            http,
            tls,
            tcp,
            export_to,
        })
    })
}

/// Without hosts a VirtualService is what others delegate to.
fn check_delegate(http: &[Rule], fields: &Fields<'_>) {
    if fields.is_written("gateways") || !fields.is_written("http") {
        let finding = Finding::error("is required");
        let help = "only a VirtualService with `http` and without `gateways` can do without: \
                    others delegate to it";
        fields.report_at("hosts", finding.help(help));
    }
    for name in ["tls", "tcp"] {
        if fields.is_written(name) {
            fields.error_at(name, "has no meaning without `hosts`");
        }
    }
    for rule in http {
        if let RuleAction::Delegate(DelegateTo { name, .. }) = &rule.action {
            fields.context.error(
                name.place,
                "a VirtualService that others delegate to can't delegate itself",
            );
        }
    }
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
