//! What is wrong with the documents, and where.

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A place in a document file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Source {
    /// The file, as it was named to who read it.
    #[serde(serialize_with = "serialize_path")]
    pub file: Arc<Path>,
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// Which document of the file, counted from 1.
    pub document: u32,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

fn serialize_path<S: Serializer>(path: &Arc<Path>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Whether the documents can be served all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is loaded.
    Error,
    /// Loaded, but something is not served as written, or most likely not meant.
    Warning,
    /// Served as written, and worth knowing.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether loading failed over it.
    pub severity: Severity,
    /// Istio's message code (`IST0101`), where the finding is one that `istioctl analyze` has.
    pub code: Option<&'static str>,
    /// Where.
    pub source: Source,
    /// `VirtualService default/reviews`; empty when the document could not be read that far.
    pub object: String,
    /// `spec.http[0].route[1].weight`; empty for the whole document.
    pub field: String,
    /// What is wrong, with the value and the limit.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.severity)?;
        if let Some(code) = self.code {
            write!(f, "[{code}]")?;
        }
        f.write_str(": ")?;
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// The order in which findings are shown: by place, errors first.
pub fn by_place(a: &Diagnostic, b: &Diagnostic) -> Ordering {
    (&a.source, a.severity, &a.field, &a.message)
        .cmp(&(&b.source, b.severity, &b.field, &b.message))
}
