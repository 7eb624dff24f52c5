//! A document of a file, and the object that was read from it.

use std::path::Path;
use std::sync::Arc;

use crate::Metadata;
use crate::decode::{Context, Report};
use crate::yaml::{Node, SyntaxError};

/// One document of one file, kept for the places and paths of later findings.
pub struct Document<'t> {
    /// As it is named in findings.
    pub file: Arc<Path>,
    /// Counted from 1.
    pub number: u32,
    /// `None` when it can't be read at all.
    pub root: Option<Node<'t>>,
    /// What could not be read.
    pub errors: Vec<SyntaxError>,
}

/// A document's metadata and what it says.
#[derive(Debug)]
pub struct Object<T> {
    /// Name, namespace and where it stands.
    pub meta: Metadata,
    /// What a kind's decoder made of the rest.
    pub spec: T,
}

impl<T> Object<T> {
    /// Where later findings about this object go.
    pub fn context<'d>(&'d self, documents: &'d [Document<'d>], report: &'d Report) -> Context<'d> {
        self.meta.context(documents, report)
    }
}
