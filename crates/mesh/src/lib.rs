//! Istio documents in, one validated [`Mesh`] out, and the route that each request takes through it.
//!
//! [`load`] takes the texts of document files (Istio's `Gateway`, `VirtualService`, `DestinationRule`,
//! `ServiceEntry`, `WorkloadEntry`, `Sidecar` and `MeshConfig`; Kubernetes' `Service`, `EndpointSlice`, `Endpoints`, `Pod`, `Secret`, `ConfigMap` and `Namespace`; the Gateway API's kinds; our
//! own `BalancingPolicy` and `HealthCheckPolicy`) and finds every mistake at once, each with file, line and field. [`Mesh::route`] is what
//! the proxy asks for each request, and [`Mesh::explain`] the same with reasons.
//!
//! ```
//! use mesh::{Decision, Options, RequestHead, SourceFile, load};
//! # use std::borrow::Cow;
//!
//! let text = "
//! apiVersion: networking.istio.io/v1
//! kind: VirtualService
//! metadata: { name: hello }
//! spec:
//!   hosts: [hello.example.com]
//!   http:
//!     - match: [{ uri: { prefix: /old } }]
//!       redirect: { uri: /new }
//! ";
//! let loaded = load(&[SourceFile { path: "hello.yaml".into(), text: text.into() }], &Options::default());
//! assert_eq!(loaded.diagnostics, []);
//! let mesh = loaded.mesh.expect("there are no errors");
//!
//! struct Get(&'static str);
//! impl RequestHead for Get {
//!     fn method(&self) -> &str { "GET" }
//!     fn scheme(&self) -> &str { "http" }
//!     fn authority(&self) -> &str { "hello.example.com" }
//!     fn path_and_query(&self) -> &str { self.0 }
//!     fn header<'a>(&'a self, _: &str) -> Option<Cow<'a, [u8]>> { None }
//! }
//! let Decision::Redirect { status, location, .. } = mesh.route(0, &Get("/old/page"), 0) else { panic!() };
//! assert_eq!((status, location.as_str()), (301, "http://hello.example.com/new"));
//! ```
//!
//! It refuses to half-load: with an error anywhere there is no mesh. What Istio has and is not served yet is a
//! warning that names it, never silence. Nothing here reads a file, a clock or a random number, and nothing depends
//! on the order in which files come.
//!
//! To add a field: name it in the decoder of its kind (`documents/KIND.rs`, where a table lists those that are not
//! served yet), and use it in `link/`. To add a kind: one file in `documents/` and one line in `documents/read.rs`.
//! To tell what is valid and most likely not meant: `analysis/`.

mod affinity;
mod analysis;
mod documents;
mod hosts;
mod link;
mod load;
mod model;
mod protocol;
mod route;
mod workload_labels;

pub use affinity::*;
pub use gateway_api;
pub use hosts::{HostMatch, HostTable};
pub use load::{IgnoredKind, Loaded, Options, SourceFile, Summary, load};
pub use manifests::{Diagnostic, Severity, Source};
pub(crate) use manifests::{decode, yaml};
pub use model::*;
pub use route::*;
pub use workload_labels::workload_labels;
