//! What was found in the documents, written for people, for programs and for code review tools.

mod json;
mod sarif;
mod status;
mod text;

use std::io::{self, Write};

use clap::ValueEnum;

pub(crate) use text::{Style, diagnostics as write_diagnostics, summary_line};

use crate::documents::Documents;

/// How findings are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// With the line of the document they are about, for people
    #[default]
    Text,
    /// One object with `diagnostics`, `summary`, `errors` and `warnings`
    Json,
    /// SARIF 2.1.0, as code review tools read it
    Sarif,
}

/// Writes everything there is to say about documents.
pub(crate) fn write(
    documents: &Documents,
    format: Format,
    out: &mut impl Write,
    style: Style,
) -> io::Result<()> {
    match format {
        Format::Text => text::write(documents, out, style),
        Format::Json => json::write(documents, out),
        Format::Sarif => sarif::write(documents, out),
    }
}
