//! A folder of documents: reading it, loading a mesh from it, watching it.

mod folder;
mod loader;
mod observed;
mod proxy;
#[cfg(test)]
mod tests;
mod watch;

use std::path::Path;

use dispatcher::TlsError;
use mesh::gateway_api::Status;
use mesh::{Diagnostic, ListenerKind, Loaded, Mesh, Severity, Source, SourceFile, Summary};

pub(crate) use folder::{Contents, FolderError, read};
pub(crate) use loader::{MeshLoader, documents_of, findings};
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
    /// What became of the Gateway API's objects.
    pub(crate) statuses: Vec<Status>,
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
            statuses,
            ..
        } = mesh::load(&contents.files, options);
        let readable = contents.problems.is_empty();
        diagnostics.splice(0..0, contents.problems);
        Self {
            files: contents.files,
            mesh: mesh.filter(|_| readable),
            diagnostics,
            summary,
            statuses,
            test_files: contents.tests.len(),
        }
    }

    /// Adds what of the mesh's TLS can't be used on this machine: a file that is missing may come with the machine
    /// that serves, one that holds something else is an error.
    pub(crate) fn check_tls_files(&mut self) {
        let Some(mesh) = &self.mesh else {
            return;
        };
        for (needed_by, error) in dispatcher::unusable_tls(mesh) {
            let (severity, help) = match &error {
                TlsError::Read { .. } => (
                    Severity::Warning,
                    Some("`dalbi run` refuses to start without it".to_owned()),
                ),
                _ => (Severity::Error, None),
            };
            self.diagnostics.push(Diagnostic {
                severity,
                code: None,
                source: Source {
                    file: file_of(&error).into(),
                    line: 1,
                    column: 1,
                    document: 1,
                },
                object: needed_by,
                field: String::new(),
                message: error.to_string(),
                help,
            });
        }
        if self.count(Severity::Error) > 0 {
            self.mesh = None;
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

/// Where the reader has to look.
fn file_of(error: &TlsError) -> &Path {
    match error {
        TlsError::Read { path, .. } => path,
        TlsError::Pem { origin, .. } => Path::new(origin),
        _ => Path::new("TLS"),
    }
}
