//! Findings as SARIF 2.1.0 (OASIS), which code review tools show beside the lines they are about.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use mesh::{Diagnostic, Severity};
use serde_json::{Value, json};

use crate::documents::Documents;

/// Rule of findings that Istio has no code for.
const DOCUMENT_RULE: &str = "document";

pub(super) fn write(documents: &Documents, out: &mut impl Write) -> io::Result<()> {
    let rules: BTreeSet<&str> = documents.diagnostics.iter().map(rule).collect();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({ "id": id })).collect();
    let results: Vec<Value> = documents.diagnostics.iter().map(result).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "dalbi",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &log)?;
    writeln!(out)
}

fn rule(diagnostic: &Diagnostic) -> &str {
    diagnostic.code.unwrap_or(DOCUMENT_RULE)
}

fn result(diagnostic: &Diagnostic) -> Value {
    let mut message = diagnostic.message.clone();
    if let Some(help) = &diagnostic.help {
        message = format!("{message}; {help}");
    }
    let source = &diagnostic.source;
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&source.file) },
            "region": { "startLine": source.line.max(1), "startColumn": source.column.max(1) },
        },
    });
    if !diagnostic.object.is_empty() {
        let name = [diagnostic.object.as_str(), diagnostic.field.as_str()].join(" ");
        location["logicalLocations"] = json!([{ "fullyQualifiedName": name.trim_end() }]);
    }
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    json!({
        "ruleId": rule(diagnostic),
        "level": level,
        "message": { "text": message },
        "locations": [location],
    })
}

/// A relative reference (RFC 3986) from a path.
fn uri(path: &Path) -> String {
    let path = path.to_string_lossy();
    let mut uri = String::with_capacity(path.len());
    for byte in path.strip_prefix("./").unwrap_or(&path).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(byte.into());
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri(Path::new("./a b/ü.yaml")), "a%20b/%C3%BC.yaml");
        assert_eq!(uri(Path::new("/etc/x-1.yaml")), "/etc/x-1.yaml");
    }
}
