//! Documents as Kubernetes writes them: text in, trees that know their places out, and values out of those.
//!
//! [`yaml::documents`] cuts a file into trees, [`decode`] reads values from them field by field, and [`Report`]
//! collects what is wrong, each finding with file, line and field. Which kinds there are and what they mean is for
//! others: `mesh` reads Istio's and Kubernetes', `gateway-api` the Gateway API's.
//!
//! ```
//! use manifests::decode::{Context, Fields, Report, port};
//! use manifests::yaml;
//! use std::{path::Path, sync::Arc};
//!
//! let text = "port: 80\nprot: TCP";
//! let tree = yaml::documents(text).remove(0).root.expect("it is well formed");
//! let (file, report) = (Arc::from(Path::new("a.yaml")), Report::default());
//! let context = Context { file: &file, document: 1, root: &tree, object: "Example default/a", report: &report };
//! let mut fields = Fields::of(&tree, context).expect("it is an object");
//! assert_eq!(fields.optional("port", port), Some(80));
//! fields.finish();
//! assert_eq!(
//!     report.into_diagnostics()[0].to_string(),
//!     "a.yaml:2:1: error: Example default/a: prot: unknown field `prot` (did you mean `port`?)"
//! );
//! ```
//!
//! Nothing stops at the first mistake, and nothing is ignored in silence. Everything a document can blow up is
//! bounded. Nothing here reads a file, a clock or a random number.

pub mod decode;
mod diagnostics;
pub mod hosts;
mod metadata;
mod object;
pub mod yaml;

pub use decode::Report;
pub use diagnostics::{Diagnostic, Severity, Source, by_place};
pub use metadata::Metadata;
pub use object::{Document, Object};
