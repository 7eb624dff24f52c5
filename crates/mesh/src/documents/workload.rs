//! Istio `WorkloadEntry`, which is also how a `ServiceEntry` lists its endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::affinity::locality;
use crate::decode::{
    Context, Decode, Fields, Located, located, map_of, owned, port, string, string_map,
};
use crate::yaml::Node;

/// One server.
#[derive(Debug)]
pub(crate) struct Workload {
    /// `None` when only a network is given.
    pub(crate) address: Option<Located<Address>>,
    /// Port name to number, where it differs from the service's.
    pub(crate) ports: BTreeMap<String, u16>,
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    pub(crate) weight: u32,
    pub(crate) locality: alba::Locality,
    pub(crate) network: String,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Address {
    Ip(IpAddr),
    Dns(String),
    /// `/path`, or `@name` for an abstract socket.
    Unix(PathBuf),
}

/// What Istio's control plane uses and a proxy does not.
const ACCEPTED: &[&str] = &["serviceAccount"];

/// `kind: WorkloadEntry`.
pub(crate) fn decode_entry(object: &mut Fields<'_>) -> Option<Workload> {
    object.required("spec", decode)
}

/// The fields that both places have.
pub(crate) fn decode<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Workload> {
    let mut fields = Fields::of(node, context)?;
    let address = fields.optional("address", located(address));
    let ports = fields.optional("ports", map_of(port)).unwrap_or_default();
    for (name, _) in &ports {
        let valid = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !valid {
            fields.error_at(
                "ports",
                format!("port name `{name}` must be letters, digits and `-`"),
            );
        }
    }
    let labels = fields.optional("labels", string_map).unwrap_or_default();
    let weight = fields.optional("weight", crate::decode::integer(0..=i64::from(u32::MAX)));
    let locality = fields
        .optional("locality", string)
        .map(locality)
        .unwrap_or_default();
    if !fields.is_written("address") && !fields.is_written("network") {
        fields.error_at("address", "is required");
    }
    if let Some(Located {
        value: Address::Unix(_),
        ..
    }) = address
        && !ports.is_empty()
    {
        fields.error_at("ports", "a Unix socket has no ports");
    }
    let network = fields.optional("network", owned).unwrap_or_default();
    fields.accept(ACCEPTED);
    fields.finish();
    Some(Workload {
        address,
        ports: ports
            .into_iter()
            .map(|(name, port)| (name.to_owned(), port))
            .collect(),
        labels: Arc::new(labels),
        // Istio's 0 means "not said".
        weight: weight.filter(|weight| *weight > 0).unwrap_or(1),
        locality,
        network,
    })
}

fn address<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Address> {
    // Plain IPv4 addresses are strings to YAML, but so must `1.2` be to us: the checks below catch it.
    let text = string(node, context)?;
    if let Some(path) = text.strip_prefix("unix://") {
        let is_abstract = path.starts_with('@') && path.len() > 1;
        if !is_abstract && (!path.starts_with('/') || path.ends_with('/')) {
            let message = format!(
                "Unix socket must be an absolute path of a file or `@name`, but is `{path}`"
            );
            context.error(node.place, message);
            return None;
        }
        return Some(Address::Unix(PathBuf::from(path)));
    }
    if let Ok(ip) = text.parse() {
        return Some(Address::Ip(ip));
    }
    if let Err(why) = super::names::check_name(text) {
        context.error(
            node.place,
            format!("must be an IP address, a host name or unix:///path: {why}"),
        );
        return None;
    }
    Some(Address::Dns(
        text.trim_end_matches('.').to_ascii_lowercase(),
    ))
}

/// Labels that select workloads, as `labels`.
pub(crate) fn selector<'d>() -> impl Decode<'d, BTreeMap<String, String>> {
    labels_of("labels")
}

/// The same as `matchLabels`.
pub(crate) fn match_labels<'d>() -> impl Decode<'d, BTreeMap<String, String>> {
    labels_of("matchLabels")
}

fn labels_of<'d>(name: &'static str) -> impl Decode<'d, BTreeMap<String, String>> {
    move |node, context| {
        let mut fields = Fields::of(node, context)?;
        let labels = fields.optional(name, string_map).unwrap_or_default();
        for (key, value) in &labels {
            if key.contains('*') || value.contains('*') {
                fields.error_at(
                    name,
                    format!("wildcard in `{key}: {value}`; a selector matches exact labels"),
                );
            }
        }
        fields.finish();
        Some(labels)
    }
}

/// Whether all labels of the selector are among `labels`.
pub(crate) fn selects(
    selector: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> bool {
    selector
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}
