//! What a test case says.

use mesh::Source;

use super::expected::Expected;
use crate::explain::{Client, Request};

/// Requests that are all to be served alike.
#[derive(Debug)]
pub(crate) struct Case {
    /// For people.
    pub(crate) description: String,
    /// Where it stands.
    pub(crate) source: Source,
    /// Whether the requests are to be served as described, or are not to be.
    pub(crate) wanted: bool,
    /// The gateway or listener that they reach; `None` finds the one that knows their host.
    pub(crate) gateway: Option<String>,
    /// Who sends them, to the mesh.
    pub(crate) from: Option<Client>,
    /// One for each combination of authority, method and path.
    pub(crate) requests: Vec<Request>,
    /// All of it together.
    pub(crate) expected: Vec<Expected>,
}
