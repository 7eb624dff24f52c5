//! A folder of documents: reading it, loading a mesh from it, watching it.

mod folder;
mod proxy;
#[cfg(test)]
mod tests;
mod watch;

use std::path::Path;

use mesh::{Diagnostic, Loaded, Mesh, Severity, SourceFile, Summary};

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
        } = mesh::load(&contents.files, options);
        let readable = contents.problems.is_empty();
        diagnostics.splice(0..0, contents.problems);
        Self {
            files: contents.files,
            mesh: mesh.filter(|_| readable),
            diagnostics,
            summary,
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
