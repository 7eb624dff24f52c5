//! The Gateway API (`gateway.networking.k8s.io`): documents in, routes attached to listeners and the status of every
//! object out.
//!
//! [`Kind::of`] says which documents are its own, [`Kind::decode`] reads one, [`Documents::push`] takes it, and
//! [`Documents::attach`] does what the specification says to do with all of them: classes are accepted, listeners
//! checked for conflicts, references resolved and permitted, routes attached and put in order. What is there besides
//! comes in as a [`World`]; what comes out is [`Attached`], which knows nothing of endpoints or routing tables. `mesh`
//! makes those of it.
//!
//! Nothing is dropped in silence: what a document must not say is an error with its place, what is not served is a
//! warning and a condition in a [`Status`]. Nothing here reads a file, a clock or a random number, and nothing
//! depends on the order of documents.
//!
//! To add a field: name it in the decoder of its kind (`documents/KIND.rs`), carry it in `attached.rs`, and use it
//! in `attach/`.

mod attach;
mod attached;
mod documents;
mod features;
mod status;
mod world;

pub use attached::*;
pub use documents::{Documents, GROUP, GROUP_EXPERIMENTAL, Kind, Spec};
pub use features::FEATURES;
pub use status::*;
pub use world::{Service, ServicePort, World};

/// The `controllerName` of classes whose Gateways are served here.
pub const CONTROLLER: &str = "dalbi.io/gateway-controller";

/// A namespace and a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl Name {
    /// The name of an object in a namespace.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
