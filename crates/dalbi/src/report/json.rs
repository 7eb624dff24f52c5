//! Findings as one JSON object.

use std::io::{self, Write};

use mesh::gateway_api::Status;
use mesh::{Diagnostic, Severity, Summary};
use serde::Serialize;

use crate::documents::Documents;

#[derive(Serialize)]
struct Report<'a> {
    diagnostics: &'a [Diagnostic],
    summary: &'a Summary,
    /// `.status` of the Gateway API's objects.
    statuses: &'a [Status],
    errors: usize,
    warnings: usize,
}

pub(super) fn write(documents: &Documents, out: &mut impl Write) -> io::Result<()> {
    let report = Report {
        diagnostics: &documents.diagnostics,
        summary: &documents.summary,
        statuses: &documents.statuses,
        errors: documents.count(Severity::Error),
        warnings: documents.count(Severity::Warning),
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}
