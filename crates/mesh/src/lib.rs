//! Istio documents in, one validated [`Mesh`] out, and the route that each request takes through it.

mod decode;
mod diagnostics;
mod documents;
mod hosts;
mod link;
mod load;
mod model;
mod protocol;
mod route;
mod yaml;

pub use diagnostics::{Diagnostic, Severity, Source};
pub use hosts::{HostMatch, HostTable};
pub use load::{IgnoredKind, Loaded, Options, SourceFile, Summary, load};
pub use model::*;
pub use route::*;
