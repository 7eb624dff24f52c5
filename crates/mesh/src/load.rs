//! From document texts to a mesh.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::analysis;
use crate::decode::Report;
use crate::documents::{self, Document};
use crate::link;
use crate::model::Mesh;
use crate::yaml::{self, Parsed};
use manifests::{Diagnostic, Severity, Source, by_place};

/// One document file's text.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Named in diagnostics; certificate files are relative to its folder.
    pub path: PathBuf,
    /// YAML (any number of documents) or JSON.
    pub text: String,
}

/// What is not said in documents.
#[derive(Debug, Clone)]
pub struct Options {
    /// Labels of this dispatcher: a `Gateway` is served if its selector is a subset of them, and `sourceLabels` are
    /// looked for among them. `None` serves every `Gateway`, and has no label to match.
    pub labels: Option<BTreeMap<String, String>>,
    /// Namespace in which this dispatcher runs, and so its clients: what is exported to it is what they see, and
    /// `sourceNamespace` means it. `None` is [`Self::default_namespace`].
    pub namespace: Option<String>,
    /// Where this dispatcher runs; empty if that is not known. `failoverPriority` compares it with where endpoints
    /// are, as labels.
    pub locality: alba::Locality,
    /// Namespace of documents that don't name theirs; `default`.
    pub default_namespace: String,
    /// Suffix of Kubernetes service names after `.svc.`; `cluster.local`.
    pub cluster_domain: String,
}

impl Options {
    /// The namespace in which this dispatcher runs.
    pub fn own_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(&self.default_namespace)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            labels: None,
            namespace: None,
            locality: alba::Locality::default(),
            default_namespace: "default".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}

/// What came of loading.
#[derive(Debug)]
pub struct Loaded {
    /// `None` when there is any error.
    pub mesh: Option<Mesh>,
    /// Errors and warnings by file and line.
    pub diagnostics: Vec<Diagnostic>,
    /// What was found.
    pub summary: Summary,
    /// `.status` of the Gateway API's objects; empty when there is any error.
    pub statuses: Vec<gateway_api::Status>,
}

/// How many documents of which kind were found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Kind to number of documents loaded.
    pub loaded: BTreeMap<String, usize>,
    /// Kinds that are not ours, by `apiVersion kind`.
    pub ignored: BTreeMap<String, IgnoredKind>,
}

/// Documents of a kind that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IgnoredKind {
    /// How many.
    pub count: usize,
    /// Where the first one stands.
    pub first: Source,
}

/// Reads documents into a mesh. All errors are found at once; with any, there is no mesh.
///
/// The order of the files, and of documents in them, makes no difference to the mesh.
pub fn load(files: &[SourceFile], options: &Options) -> Loaded {
    let report = Report::default();
    let mut summary = Summary::default();
    let texts: Vec<_> = files
        .iter()
        .map(|file| yaml::with_yaml_escapes(&file.text))
        .collect();
    let parsed = files
        .iter()
        .zip(&texts)
        .map(|(file, text)| (file.path.as_path(), yaml::documents(text)));
    let trees: Vec<Document<'_>> = parsed
        .flat_map(|(path, parsed)| numbered(&path.into(), parsed))
        .collect();
    let documents = documents::read(&trees, options, &report, &mut summary);
    // What could not be read would only be missed where it is referred to.
    let linked = (!report.has_errors()).then(|| link::link(&trees, &documents, options, &report));
    let (mesh, statuses) = linked.unzip();
    if mesh.is_some() {
        analysis::run(&trees, &documents, &report);
    }
    drop(documents);
    drop(trees);
    let mut diagnostics = report.into_diagnostics();
    diagnostics.iter_mut().for_each(name_schema_error);
    diagnostics.sort_by(by_place);
    // The same rule may be linked for several listeners.
    diagnostics.dedup();
    Loaded {
        mesh,
        diagnostics,
        summary,
        statuses: statuses.unwrap_or_default(),
    }
}

/// Istio's kinds, whose errors are what `istioctl analyze` calls schema validation errors.
const ISTIO_KINDS: &[&str] = &[
    "AuthorizationPolicy",
    "DestinationRule",
    "EnvoyFilter",
    "Gateway",
    "MeshConfig",
    "PeerAuthentication",
    "ProxyConfig",
    "RequestAuthentication",
    "ServiceEntry",
    "Sidecar",
    "Telemetry",
    "VirtualService",
    "WasmPlugin",
    "WorkloadEntry",
    "WorkloadGroup",
];

fn name_schema_error(diagnostic: &mut Diagnostic) {
    let kind = diagnostic.object.split(' ').next().unwrap_or_default();
    let is_istio = ISTIO_KINDS.binary_search(&kind).is_ok();
    if diagnostic.severity == Severity::Error && is_istio {
        diagnostic.code.get_or_insert("IST0106");
    }
}

fn numbered<'t>(file: &Arc<Path>, parsed: Vec<Parsed<'t>>) -> Vec<Document<'t>> {
    let documents = (1..).zip(parsed);
    documents
        .map(|(number, Parsed { root, errors })| Document {
            file: Arc::clone(file),
            number,
            root,
            errors,
        })
        .collect()
}
