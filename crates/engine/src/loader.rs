//! The seam to whoever knows what documents mean.

use std::fmt::Debug;
use std::sync::Arc;

use generations::Document;
use mesh::Mesh;

pub use crate::refusal::Findings;

/// Documents that can be served.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What serves.
    pub mesh: Arc<Mesh>,
    /// What became of each object, for `/config/status`.
    pub objects: serde_json::Value,
    /// What there is, in a few words.
    pub summary: String,
}

/// Makes meshes of documents, for this process: its labels, its namespace.
pub trait Loader: Debug + Send + Sync {
    /// Sets aside what changes by itself, as endpoints do: that makes no generation. Returns what is left, and what
    /// was set aside.
    fn split(&self, documents: Vec<Document>) -> (Vec<Document>, Vec<Document>);

    /// Checks documents and those set aside together, and runs their own tests. `source` is where they are from.
    ///
    /// # Errors
    /// Everything that is wrong with them at once.
    fn load(
        &self,
        source: &str,
        documents: &[Document],
        observed: &[Document],
    ) -> Result<Loaded, Findings>;
}
