//! A generation's manifest: what it consists of, and who made it of what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::proposal::{Proposal, tree};
use crate::{GenerationId, ObjectId, Signature, TreeId};

/// A document as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentRef {
    /// The document's label.
    pub path: String,
    /// The object that is its text.
    pub hash: ObjectId,
    /// Bytes of the text.
    pub bytes: u64,
}

/// A generation as it was staged. It never changes: its name is the hash of its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name.
    #[serde(skip_deserializing, default = "nameless")]
    pub id: GenerationId,
    /// Counts from 1 in this store, and is given to no other generation.
    pub number: u64,
    /// The current generation when it was staged.
    pub parent: Option<GenerationId>,
    /// The name of what it serves.
    pub tree: TreeId,
    /// Who proposed it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Where its documents are from.
    pub source: String,
    /// When it was staged, by the clock of that time.
    pub created_unix_ms: u64,
    /// Its documents, sorted by path.
    pub documents: Vec<DocumentRef>,
    /// What else decides how they are served.
    pub options: BTreeMap<String, String>,
    /// The author's signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

fn nameless() -> GenerationId {
    GenerationId::from_bytes([0; 32])
}

impl Manifest {
    /// The manifest of a proposal and the bytes that it is stored as.
    pub(crate) fn new(proposal: &Proposal, number: u64, now_unix_ms: u64) -> (Self, Vec<u8>) {
        let documents = proposal.documents.iter();
        let mut documents: Vec<DocumentRef> = documents
            .map(|document| DocumentRef {
                path: document.path.clone(),
                hash: ObjectId::of(document.text.as_bytes()),
                bytes: document.text.len() as u64,
            })
            .collect();
        documents.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let mut manifest = Self {
            id: nameless(),
            number,
            parent: proposal.parent,
            tree: tree_of(&documents, &proposal.options),
            author: proposal.author.clone(),
            reason: proposal.reason.clone(),
            source: proposal.source.clone(),
            created_unix_ms: now_unix_ms,
            documents,
            options: proposal.options.clone(),
            signature: proposal.signature.clone(),
        };
        let mut value = serde_json::to_value(&manifest).expect("a manifest has text keys only");
        if let Some(fields) = value.as_object_mut() {
            fields.remove("id");
        }
        let mut bytes = value.to_string().into_bytes();
        bytes.push(b'\n');
        manifest.id = Self::id_of(&bytes);
        (manifest, bytes)
    }

    /// The manifest in bytes that hash to `id`, or what is wrong with them.
    pub(crate) fn parse(id: GenerationId, bytes: &[u8]) -> Result<Self, String> {
        let found = Self::id_of(bytes);
        if found != id {
            return Err(format!("its bytes have the hash {found}"));
        }
        let mut manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        manifest.id = id;
        let tree = tree_of(&manifest.documents, &manifest.options);
        if tree != manifest.tree {
            return Err(format!(
                "it says tree {}, and describes {tree}",
                manifest.tree
            ));
        }
        Ok(manifest)
    }

    /// Bytes of all its documents.
    pub fn bytes(&self) -> u64 {
        self.documents.iter().map(|document| document.bytes).sum()
    }

    fn id_of(bytes: &[u8]) -> GenerationId {
        GenerationId::from_bytes(*blake3::hash(bytes).as_bytes())
    }
}

fn tree_of(documents: &[DocumentRef], options: &BTreeMap<String, String>) -> TreeId {
    let named = documents.iter();
    tree(
        named.map(|document| (document.path.as_str(), document.hash)),
        options,
    )
}
