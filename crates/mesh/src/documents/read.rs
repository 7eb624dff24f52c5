//! Which kind a document is, and what becomes of it.

use super::checked::Checked;
use super::*;
use crate::decode::{Context, Fields, Finding, Report, did_you_mean, list_of};
use crate::hosts::HostMap;
use crate::load::{IgnoredKind, Options, Summary};
use crate::yaml::Node;

/// The Gateway API's kinds that say something about traffic which is not served yet.
const NOT_SERVED: &[(&str, &str, &str)] = &[
    (gateway_api::GROUP, "UDPRoute", "datagrams are not taken"),
    (
        gateway_api::GROUP_EXPERIMENTAL,
        "XBackendTrafficPolicy",
        NO_EFFECT,
    ),
];

const NO_EFFECT: &str = "the document has no effect";

const NETWORKING: &str = "networking.istio.io";
const NETWORKING_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];

/// Kinds of `networking.istio.io` that are served.
const NETWORKING_KINDS: &[&str] = &[
    "Gateway",
    "VirtualService",
    "DestinationRule",
    "ServiceEntry",
    "WorkloadEntry",
    "Sidecar",
];

/// Our own kinds.
const DALBI_KINDS: &[&str] = &["BalancingPolicy", "HealthCheckPolicy"];

/// Reads all documents. Findings go to the report, objects that could be read to the result.
pub(crate) fn read<'t>(
    documents: &'t [Document<'t>],
    options: &Options,
    report: &'t Report,
    summary: &mut Summary,
) -> Documents {
    let mut reader = Reader {
        options,
        found: Documents::default(),
        summary,
        identities: HostMap::default(),
    };
    for (position, document) in documents.iter().enumerate() {
        // The root stands for the document where there is no tree to point into.
        let empty = Node {
            place: crate::yaml::Place::default(),
            value: crate::yaml::Value::Null,
        };
        for error in &document.errors {
            let root = document.root.as_ref().unwrap_or(&empty);
            let context = Context {
                file: &document.file,
                document: document.number,
                root,
                object: "",
                report,
            };
            context.error(error.place, error.message.clone());
        }
        if let Some(root) = &document.root {
            let context = Context {
                file: &document.file,
                document: document.number,
                root,
                object: "",
                report,
            };
            reader.object(root, context, position);
        }
    }
    reader.found.sort();
    reader.found
}

struct Reader<'r> {
    options: &'r Options,
    found: Documents,
    summary: &'r mut Summary,
    /// Kind, namespace and name to the first place.
    identities: HostMap<crate::Source>,
}

/// Istio's own, which its control plane reads.
fn is_mesh_config_map(node: &Node<'_>) -> bool {
    let name = node
        .get("metadata")
        .and_then(|metadata| metadata.get("name"));
    name.and_then(Node::text) == Some("istio")
        && node
            .get("data")
            .is_some_and(|data| data.get("mesh").is_some())
}

impl Reader<'_> {
    fn object(&mut self, node: &Node<'_>, context: Context<'_>, document: usize) {
        let text = |key| node.get(key).and_then(Node::text).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let is_telling = |name: &&str| node.get(name).is_some();
        if kind.is_empty() && api_version.is_empty() && mesh_config::TELLING.iter().any(is_telling)
        {
            self.mesh_config(node, context);
            return;
        }
        if kind.is_empty() && group != NETWORKING {
            self.ignore("no kind".to_owned(), context, node);
            return;
        }
        let not_served = NOT_SERVED
            .iter()
            .find(|(of, name, _)| (*of, *name) == (group, kind));
        if let Some((_, _, consequence)) = not_served {
            let message = format!("{kind} is not served yet: {consequence}");
            context.warning(node.place, message);
            self.ignore(format!("{api_version} {kind}"), context, node);
            return;
        }
        if let Some(checked) = Checked::of(group, kind) {
            let message = format!("{kind} is not served yet: {}", checked.consequence);
            context.warning(node.place, message);
            self.object_of(kind, node, context, document, checked.check);
            self.ignore(format!("{api_version} {kind}"), context, node);
            return;
        }
        match (group, kind) {
            ("", "List") => {
                let items = node
                    .get("items")
                    .and_then(|items| list_of(|item, _| Some(item))(items, context));
                for item in items.unwrap_or_default() {
                    self.object(item, context, document);
                }
                return;
            }
            (NETWORKING, kind) if NETWORKING_KINDS.contains(&kind) => {
                if !NETWORKING_VERSIONS.contains(&version) {
                    let known = NETWORKING_VERSIONS.join(", ");
                    context.error(
                        node.place,
                        format!("{kind} has version `{version}`; known versions are {known}"),
                    );
                    return;
                }
            }
            ("", "ConfigMap") if is_mesh_config_map(node) => {
                self.mesh_config_map(node, context);
                return;
            }
            ("" | "discovery.k8s.io" | "dalbi.io", _) => {}
            (gateway_api::GROUP | gateway_api::GROUP_EXPERIMENTAL, kind) => {
                match gateway_api::Kind::of(group, version, kind) {
                    Some(Ok(of)) => {
                        let decode = |fields: &mut Fields<'_>| of.decode(fields);
                        if let Some(object) = self.read(kind, node, context, document, decode) {
                            self.found.gateway_api.push(object);
                        }
                    }
                    Some(Err(wrong)) => context.error(node.place, wrong),
                    None => self.ignore_foreign(group, kind, api_version, context, node),
                }
                return;
            }
            (NETWORKING, kind) => {
                let served = NETWORKING_KINDS.iter().copied();
                let finding = Finding::error(format!("{NETWORKING} has no kind `{kind}`"));
                context.report(node.place, finding.maybe_help(did_you_mean(kind, served)));
                return;
            }
            _ => {
                self.ignore_foreign(group, kind, api_version, context, node);
                return;
            }
        }
        let known = self.known_kind((group, version, kind), node, context, document);
        if known.is_none() {
            self.ignore_foreign(group, kind, api_version, context, node);
        }
    }

    /// Reads an object of a kind that matters; `None` for others.
    fn known_kind(
        &mut self,
        (group, version, kind): (&str, &str, &str),
        node: &Node<'_>,
        context: Context<'_>,
        document: usize,
    ) -> Option<()> {
        // One line per kind: its name, where its objects go, and how its `spec` (or whole body) is read.
        macro_rules! read {
            ($list:ident, $decode:path) => {{
                let read = self.read(kind, node, context, document, $decode);
                self.found.$list.extend(read);
            }};
        }
        match (group, version, kind) {
            (NETWORKING, _, "Gateway") => read!(gateways, gateway::decode),
            (NETWORKING, _, "VirtualService") => read!(virtual_services, virtual_service::decode),
            (NETWORKING, _, "DestinationRule") => {
                read!(destination_rules, destination_rule::decode);
            }
            (NETWORKING, _, "ServiceEntry") => read!(service_entries, service_entry::decode),
            (NETWORKING, _, "Sidecar") => read!(sidecars, sidecar::decode),
            (NETWORKING, _, "WorkloadEntry") => read!(workload_entries, workload::decode_entry),
            ("", "v1", "Service") => read!(services, service::decode),
            ("", "v1", "Endpoints") => read!(endpoint_slices, endpoint_slice::decode_endpoints),
            ("", "v1", "Pod") => read!(pods, pod::decode),
            ("", "v1", "Secret") => read!(secrets, secret::decode),
            ("", "v1", "ConfigMap") => read!(config_maps, config_map::decode),
            ("", "v1", "Namespace") => read!(namespaces, namespace::decode),
            ("discovery.k8s.io", "v1" | "v1beta1", "EndpointSlice") => {
                read!(endpoint_slices, endpoint_slice::decode);
            }
            ("dalbi.io", "v1alpha1", "HealthCheckPolicy") => {
                read!(health_check_policies, health_check_policy::decode);
            }
            ("dalbi.io", "v1alpha1", "BalancingPolicy") => {
                read!(balancing_policies, balancing_policy::decode);
            }
            _ => return None,
        }
        Some(())
    }

    /// An object's metadata, and what else it says.
    fn object_of<T>(
        &self,
        kind: &str,
        node: &Node<'_>,
        context: Context<'_>,
        document: usize,
        decode: impl Fn(&mut Fields<'_>) -> Option<T>,
    ) -> Option<(Metadata, Option<T>)> {
        // The name is part of every finding, so it is looked up before anything is judged.
        let metadata = node.get("metadata");
        let of = |key| {
            metadata
                .and_then(|metadata| metadata.get(key))
                .and_then(Node::text)
        };
        let namespace = of("namespace").unwrap_or(&self.options.default_namespace);
        let label = format!("{kind} {namespace}/{}", of("name").unwrap_or_default());
        let context = Context {
            object: &label,
            ..context
        };
        let mut fields = Fields::of(node, context)?;
        fields.accept(&["apiVersion", "kind", "status"]);
        let meta = Metadata::decode(
            &mut fields,
            kind,
            &self.options.default_namespace,
            document,
            node.place,
        );
        let spec = decode(&mut fields);
        annotations::check(kind, metadata, context);
        fields.finish();
        Some((meta?, spec))
    }

    fn read<T>(
        &mut self,
        kind: &str,
        node: &Node<'_>,
        context: Context<'_>,
        document: usize,
        decode: impl Fn(&mut Fields<'_>) -> Option<T>,
    ) -> Option<Object<T>> {
        let (meta, spec) = self.object_of(kind, node, context, document, decode)?;
        // Istio's and the Gateway API's Gateways may have the same names.
        let of_gateway_api = kind == "Gateway" && !node_is_of(node, NETWORKING);
        let identity = match of_gateway_api {
            true => format!("{} {}", gateway_api::GROUP, meta.label),
            false => meta.label.clone(),
        };
        match self.identities.get(identity.as_str()) {
            Some(first) => {
                let finding = Finding::error(format!("is already defined at {first}"));
                let finding = finding.help("remove one of the two, or give it another name");
                let object = &meta.label;
                Context { object, ..context }.report(node.place, finding);
            }
            None => {
                let here = context.source(node.place);
                self.identities.insert(identity.into(), here);
            }
        }
        match self.summary.loaded.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.summary.loaded.insert(kind.to_owned(), 1);
            }
        }
        Some(Object { meta, spec: spec? })
    }

    /// A kind of somebody else, unless it looks like one of ours with a mistake in its `apiVersion`.
    fn ignore_foreign(
        &mut self,
        group: &str,
        kind: &str,
        api_version: &str,
        context: Context<'_>,
        node: &Node<'_>,
    ) {
        // Others have kinds of these names too, so only a group that looks like a slip is one.
        // `Gateway` is one of the Gateway API's too, so without any group it is a slip.
        let ours = NETWORKING_KINDS.contains(&kind) && (kind != "Gateway" || group.is_empty());
        let near = group.is_empty()
            || group.ends_with("istio.io")
            || did_you_mean(group, [NETWORKING]).is_some();
        if ours && near {
            let finding = Finding::error(format!("{kind} has apiVersion `{api_version}`"));
            context.report(
                node.place,
                finding.help(format!("write `apiVersion: {NETWORKING}/v1`")),
            );
            return;
        }
        if group == "dalbi.io" {
            let finding = Finding::error(format!(
                "dalbi.io has no kind `{kind}` in version `{api_version}`"
            ));
            let help = match did_you_mean(kind, DALBI_KINDS.iter().copied()) {
                Some(near) if !DALBI_KINDS.contains(&kind) => near,
                _ => format!(
                    "write `apiVersion: dalbi.io/v1alpha1` and one of the kinds {}",
                    DALBI_KINDS.join(", ")
                ),
            };
            context.report(node.place, finding.help(help));
            return;
        }
        self.ignore(
            format!("{api_version} {kind}").trim().to_owned(),
            context,
            node,
        );
    }

    /// The text in Istio's own `ConfigMap`, whose lines are counted in the file.
    fn mesh_config_map(&mut self, node: &Node<'_>, context: Context<'_>) {
        let written = node.get("data").and_then(|data| data.get("mesh"));
        let Some((written, text)) = written.and_then(|node| Some((node, node.text()?))) else {
            return;
        };
        let text = "\n".repeat(written.place.line as usize) + text;
        let text = crate::yaml::with_yaml_escapes(&text);
        for parsed in crate::yaml::documents(&text) {
            for error in &parsed.errors {
                context.error(written.place, format!("`mesh`: {}", error.message));
            }
            if let Some(root) = &parsed.root {
                let context = Context { root, ..context };
                self.mesh_config(root, context);
            }
        }
    }

    fn mesh_config(&mut self, fields: &Node<'_>, context: Context<'_>) {
        let context = Context {
            object: "MeshConfig",
            ..context
        };
        let Some(config) = mesh_config::decode(fields, context) else {
            return;
        };
        let kind = self
            .summary
            .loaded
            .entry("MeshConfig".to_owned())
            .or_default();
        *kind += 1;
        if *kind > 1 {
            let finding = Finding::error("the mesh is configured elsewhere already");
            context.report(fields.place, finding.help("keep one MeshConfig"));
        }
        self.found.mesh_config = config;
    }

    fn ignore(&mut self, kind: String, context: Context<'_>, node: &Node<'_>) {
        let first = context.source(node.place);
        let seen = self
            .summary
            .ignored
            .entry(kind)
            .or_insert(IgnoredKind { count: 0, first });
        seen.count += 1;
    }
}

fn node_is_of(node: &Node<'_>, group: &str) -> bool {
    let api_version = node.get("apiVersion").and_then(Node::text);
    let of = api_version.and_then(|text| text.split_once('/'));
    of.is_some_and(|(of, _)| of == group)
}

impl Documents {
    /// So that nothing depends on which file a document stands in.
    fn sort(&mut self) {
        fn by_age<T>(objects: &mut [Object<T>]) {
            objects.sort_by_cached_key(|object| {
                let (undated, created, name) = object.meta.order();
                (undated, created.map(str::to_owned), name)
            });
        }
        by_age(&mut self.gateways);
        by_age(&mut self.virtual_services);
        by_age(&mut self.destination_rules);
        by_age(&mut self.service_entries);
        by_age(&mut self.workload_entries);
        by_age(&mut self.services);
        by_age(&mut self.sidecars);
        by_age(&mut self.endpoint_slices);
        by_age(&mut self.pods);
        by_age(&mut self.secrets);
        by_age(&mut self.config_maps);
        by_age(&mut self.namespaces);
        self.gateway_api.sort();
        by_age(&mut self.health_check_policies);
        by_age(&mut self.balancing_policies);
    }
}
