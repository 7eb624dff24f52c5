//! What is proposed to become a generation, and within which bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{GenerationId, ObjectId, Signature, TreeId};

/// Documents of a generation. As many as files of a large cluster's export, with room.
pub const MAX_DOCUMENTS: usize = 100_000;
/// Bytes of one document: as large as a file that `dalbi` reads.
pub const MAX_DOCUMENT_BYTES: usize = 64 << 20;
/// Bytes of all documents of a generation.
pub const MAX_TOTAL_BYTES: u64 = 512 << 20;
/// Bytes of an author, a name of a pin, an option's name.
pub const MAX_NAME_BYTES: usize = 256;
/// Bytes of a path, a reason, a source or an option's value.
pub const MAX_TEXT_BYTES: usize = 4096;
/// Options of a generation.
pub const MAX_OPTIONS: usize = 256;

/// One document: what a file held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Where it stood, as a label for people; never used as a place on disk.
    pub path: String,
    /// Its text, as it was read.
    pub text: String,
}

/// What [`Store::stage`](crate::Store::stage) makes a generation of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The generation that its author saw as current; `None` if the store had none.
    pub parent: Option<GenerationId>,
    /// Who proposes it.
    pub author: String,
    /// Why, in the author's words.
    #[serde(default)]
    pub reason: String,
    /// Where the documents are from: a folder, or `api`.
    #[serde(default)]
    pub source: String,
    /// The documents, in any order, each path once.
    pub documents: Vec<Document>,
    /// What else decides how the documents are served.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// The author's signature, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// A proposal out of bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// More of something than is held.
    #[error("{what}: {found} where at most {limit} are kept; use fewer or shorten them")]
    TooMuch {
        /// What there is too much of.
        what: String,
        /// How much.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Two documents of one path.
    #[error("two documents have the path `{0}`; each path names one document")]
    SamePath(String),
    /// A text where it can't be.
    #[error("{what} {text:?} is empty or holds control characters; write it as plain text")]
    Unprintable {
        /// Which text.
        what: &'static str,
        /// The text, shortened.
        text: String,
    },
}

impl Proposal {
    /// The name of what would be served: of the paths, texts and options.
    pub fn tree(&self) -> TreeId {
        let documents = self.documents.iter();
        let mut named: Vec<(&str, ObjectId)> = documents
            .map(|document| {
                let object = ObjectId::of(document.text.as_bytes());
                (document.path.as_str(), object)
            })
            .collect();
        named.sort_unstable();
        tree(named.into_iter(), &self.options)
    }

    /// Whether it is within bounds.
    ///
    /// # Errors
    ///
    /// The first bound that is exceeded.
    pub fn check(&self) -> Result<(), ProposalError> {
        at_most("documents", self.documents.len(), MAX_DOCUMENTS)?;
        at_most("options", self.options.len(), MAX_OPTIONS)?;
        printable("author", &self.author, MAX_NAME_BYTES)?;
        at_most("bytes of the reason", self.reason.len(), MAX_TEXT_BYTES)?;
        at_most("bytes of the source", self.source.len(), MAX_TEXT_BYTES)?;
        for (name, value) in &self.options {
            printable("option", name, MAX_NAME_BYTES)?;
            let what = format!("bytes of option `{name}`");
            at_most(&what, value.len(), MAX_TEXT_BYTES)?;
        }
        let mut total: u64 = 0;
        let mut paths = std::collections::BTreeSet::new();
        for Document { path, text } in &self.documents {
            printable("path", path, MAX_TEXT_BYTES)?;
            at_most(
                &format!("bytes of `{path}`"),
                text.len(),
                MAX_DOCUMENT_BYTES,
            )?;
            total += text.len() as u64;
            if !paths.insert(path) {
                return Err(ProposalError::SamePath(path.clone()));
            }
        }
        if total > MAX_TOTAL_BYTES {
            let what = "bytes of all documents".to_owned();
            return Err(ProposalError::TooMuch {
                what,
                found: total,
                limit: MAX_TOTAL_BYTES,
            });
        }
        Ok(())
    }
}

/// The name of what is served. `documents` are sorted by path; lengths keep neighbours apart.
pub(crate) fn tree<'a>(
    documents: impl ExactSizeIterator<Item = (&'a str, ObjectId)>,
    options: &BTreeMap<String, String>,
) -> TreeId {
    let mut hasher = blake3::Hasher::new_derive_key("dalbi 2026-11 generations tree v1");
    hasher.update(&(documents.len() as u64).to_le_bytes());
    for (path, object) in documents {
        hasher.update(&(path.len() as u64).to_le_bytes());
        hasher.update(path.as_bytes());
        hasher.update(object.as_bytes());
    }
    for text in options.iter().flat_map(|(name, value)| [name, value]) {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    TreeId::from_bytes(*hasher.finalize().as_bytes())
}

pub(crate) fn at_most(what: &str, found: usize, limit: usize) -> Result<(), ProposalError> {
    if found <= limit {
        return Ok(());
    }
    Err(ProposalError::TooMuch {
        what: what.to_owned(),
        found: found as u64,
        limit: limit as u64,
    })
}

pub(crate) fn printable(
    what: &'static str,
    text: &str,
    limit_bytes: usize,
) -> Result<(), ProposalError> {
    at_most(&format!("bytes of the {what}"), text.len(), limit_bytes)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        let text = text.chars().take(80).collect();
        return Err(ProposalError::Unprintable { what, text });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(documents: &[(&str, &str)]) -> Proposal {
        let document = |&(path, text): &(&str, &str)| Document {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        Proposal {
            author: "ann".to_owned(),
            documents: documents.iter().map(document).collect(),
            ..Proposal::default()
        }
    }

    #[test]
    fn a_tree_depends_on_what_is_served_and_nothing_else() {
        let one = proposal(&[("a.yaml", "x"), ("b.yaml", "y")]);
        let mut other = proposal(&[("b.yaml", "y"), ("a.yaml", "x")]);
        other.author = "bob".to_owned();
        other.reason = "why not".to_owned();
        assert_eq!(one.tree(), other.tree());

        assert_ne!(
            one.tree(),
            proposal(&[("a.yaml", "y"), ("b.yaml", "x")]).tree()
        );
        assert_ne!(one.tree(), proposal(&[("a.yaml", "x")]).tree());
        other.options.insert("bind".to_owned(), "::".to_owned());
        assert_ne!(one.tree(), other.tree());
    }

    #[test]
    fn bounds_are_told_with_what_exceeds_them() {
        let told = |proposal: &Proposal| proposal.check().unwrap_err().to_string();
        let double = proposal(&[("a.yaml", "x"), ("a.yaml", "y")]);
        assert!(told(&double).contains("two documents have the path `a.yaml`"));
        let odd = proposal(&[("a\n.yaml", "x")]);
        assert!(told(&odd).contains("control characters"));
        let mut long = proposal(&[]);
        long.reason = "r".repeat(MAX_TEXT_BYTES + 1);
        assert!(told(&long).contains("bytes of the reason: 4097 where at most 4096"));
        let mut nobody = proposal(&[]);
        nobody.author.clear();
        assert!(told(&nobody).contains("author"));
        assert_eq!(proposal(&[("a", ""), ("b", "")]).check(), Ok(()));
    }
}
