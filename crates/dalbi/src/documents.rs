//! A folder of documents: reading it, loading a mesh from it, watching it.

mod folder;
mod proxy;
#[cfg(test)]
mod tests;
mod watch;

use std::path::Path;

use mesh::{Diagnostic, ListenerKind, Loaded, Mesh, Severity, SourceFile, Summary};

pub(crate) use folder::{Contents, FolderError, read};
pub(crate) use proxy::{Proxy, Target};
pub(crate) use watch::FolderWatch;

/// What a folder holds and what came of loading it.
#[derive(Debug)]
pub(crate) struct Documents {
    /// Every file that was read, in order of path.
    pub(crate) files: Vec<SourceFile>,
    /// `None` when there is any error.
    pub(crate) mesh: Option<Mesh>,
    /// Errors and warnings in order of place; files that could not be read too.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Counts per kind.
    pub(crate) summary: Summary,
    /// How many files have test cases for `dalbi test`, and were left out for it.
    pub(crate) test_files: usize,
}

impl Documents {
    /// Reads and loads everything below `root`.
    pub(crate) fn load(root: &Path, options: &mesh::Options) -> Result<Self, FolderError> {
        Ok(Self::from_contents(read(root)?, options))
    }

    /// Loads what has been read already.
    pub(crate) fn from_contents(contents: Contents, options: &mesh::Options) -> Self {
        let Loaded {
            mesh,
            mut diagnostics,
            summary,
            ..
        } = mesh::load(&contents.files, options);
        let readable = contents.problems.is_empty();
        diagnostics.splice(0..0, contents.problems);
        Self {
            files: contents.files,
            mesh: mesh.filter(|_| readable),
            diagnostics,
            summary,
            test_files: contents.tests.len(),
        }
    }

    /// Why nobody is let in although nothing is wrong. That is allowed, as documents may come later, but
    /// seldom meant. `None` when the mesh has been taken out.
    pub(crate) fn absence(&self, options: &mesh::Options) -> Option<&'static str> {
        let listeners = &self.mesh.as_ref()?.listeners;
        let has_gateway = self.summary.loaded.contains_key("Gateway");
        let serves_gateway = || {
            listeners
                .iter()
                .any(|listener| listener.kind == ListenerKind::Gateway)
        };
        if self.files.is_empty() {
            Some("there is no *.yaml, *.yml or *.json file here, so nothing is served")
        } else if options.labels.is_some() && has_gateway && !serves_gateway() {
            Some("no Gateway has a selector that fits --labels, so none is served")
        } else if listeners.is_empty() {
            Some("these documents open no port: they have no Gateway that is served and no service")
        } else {
            None
        }
    }

    /// Number of findings of this severity.
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }
}
