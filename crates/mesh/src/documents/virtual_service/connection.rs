//! `tcp[]` and `tls[]`: where connections go.

use std::net::IpAddr;

use super::forwarding::{Destination, target};
use super::rule::check_weights;
use crate::decode::{
    Context, Fields, Finding, Located, count, list_of, located, owned, port, string, string_map,
};
use crate::documents::names::{check_pattern, host};
use crate::hosts::is_subset;
use crate::model::HeaderEdits;
use crate::yaml::{Node, Place};

/// One rule of `tcp` or `tls`.
#[derive(Debug)]
pub(crate) struct ConnectionRule {
    pub(crate) place: Place,
    /// Empty takes every connection; never so in `tls`.
    pub(crate) matches: Vec<ConnectionMatch>,
    pub(crate) destinations: Vec<Destination>,
}

/// One entry of its `match`.
#[derive(Debug)]
pub(crate) struct ConnectionMatch {
    /// Empty in `tcp`.
    pub(crate) sni_hosts: Vec<Located<String>>,
    /// Only on this listener's port.
    pub(crate) port: Option<u16>,
    /// Only on these gateways; empty is all of the VirtualService's.
    pub(crate) gateways: Vec<String>,
}

/// An entry of `tcp`.
pub(super) fn tcp<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<ConnectionRule> {
    rule(node, context, false)
}

/// An entry of `tls`.
pub(super) fn tls<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<ConnectionRule> {
    rule(node, context, true)
}

fn rule<'d>(node: &'d Node<'d>, context: Context<'d>, is_tls: bool) -> Option<ConnectionRule> {
    let mut fields = Fields::of(node, context)?;
    let entry = |node: &'d Node<'d>, context: Context<'d>| entry(node, context, is_tls);
    let match_count = fields.node("match").map_or(0, Node::len);
    let matches = fields.list("match", entry);
    let errors_before = context.report.error_count();
    let destinations = fields.required("route", list_of(destination));
    let are_read = context.report.error_count() == errors_before;
    if is_tls && match_count == 0 {
        fields.error_at("match", "is required: it names the `sniHosts`");
    }
    if let Some(destinations) = &destinations {
        check_weights(destinations, are_read, &fields);
    }
    fields.finish();
    // A match entry with an error must not turn its rule into one for everything.
    (matches.len() == match_count).then_some(())?;
    Some(ConnectionRule {
        place: node.place,
        matches,
        destinations: destinations?,
    })
}

fn destination<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Destination> {
    let mut fields = Fields::of(node, context)?;
    let target = fields.required("destination", target);
    let weight = fields.optional("weight", count).unwrap_or(0);
    fields.finish();
    Some(Destination {
        target: target?,
        weight,
        headers: HeaderEdits::default(),
        authority: None,
    })
}

/// Conditions that Istio tests on connections that a sidecar has captured, and on gateways not at all.
const OF_CAPTURED: [&str; 4] = [
    "destinationSubnets",
    "sourceSubnet",
    "sourceLabels",
    "sourceNamespace",
];

fn entry<'d>(node: &'d Node<'d>, context: Context<'d>, is_tls: bool) -> Option<ConnectionMatch> {
    let mut fields = Fields::of(node, context)?;
    let mut sni_hosts = Vec::new();
    if is_tls {
        sni_hosts = fields.list("sniHosts", located(sni_host));
        if fields.node("sniHosts").map_or(0, Node::len) == 0 {
            fields.error_at("sniHosts", "is required: at least one host");
        }
    }
    let port = fields.optional("port", port);
    let gateways = fields
        .optional("gateways", list_of(owned))
        .unwrap_or_default();
    fields.list("destinationSubnets", subnet);
    if !is_tls {
        fields.optional("sourceSubnet", subnet);
    }
    fields.optional("sourceLabels", string_map);
    fields.optional("sourceNamespace", string);
    for name in OF_CAPTURED.iter().filter(|name| fields.is_written(name)) {
        let message = "has no effect on a gateway, as in Istio";
        fields.report_at(name, Finding::warning(message));
    }
    fields.finish();
    Some(ConnectionMatch {
        sni_hosts,
        port,
        gateways,
    })
}

fn sni_host<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let name = host(node, context)?;
    if name.parse::<IpAddr>().is_ok() {
        let message = format!("`{name}` is an address, which no client sends as SNI (RFC 6066)");
        context.error(node.place, message);
        return None;
    }
    if let Err(why) = check_pattern(&name) {
        context.error(node.place, why);
        return None;
    }
    Some(name)
}

/// An address, or a network as `10.0.0.0/8`.
fn subnet<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let text = string(node, context)?;
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, length.parse::<u8>().ok()),
        None => (text, Some(0)),
    };
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => Some(32),
        Ok(IpAddr::V6(_)) => Some(128),
        Err(_) => None,
    };
    let is_valid = most
        .zip(length)
        .is_some_and(|(most, length)| length <= most);
    if !is_valid {
        let message =
            format!("must be an address or a network such as 10.0.0.0/8, but is `{text}`");
        context.error(node.place, message);
    }
    is_valid.then_some(())
}

/// A name that is asked for in a handshake has to be one of the VirtualService's.
pub(super) fn check_sni_hosts(
    rules: &[ConnectionRule],
    hosts: &[Located<String>],
    context: Context<'_>,
) {
    let entries = rules.iter().flat_map(|rule| &rule.matches);
    for sni_host in entries.flat_map(|entry| &entry.sni_hosts) {
        if !hosts.iter().any(|host| is_subset(sni_host, host)) {
            let hosts: Vec<_> = hosts.iter().map(|host| host.value.as_str()).collect();
            let message = format!(
                "`{}` is within none of the VirtualService's hosts {}",
                sni_host.value,
                hosts.join(", ")
            );
            context.error(sni_host.place, message);
        }
    }
}
