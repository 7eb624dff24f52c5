//! Findings in the manner of rustc: the line, a mark under it, and what to do.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use mesh::{Diagnostic, Severity, SourceFile};

use crate::documents::Documents;

/// Whether colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Coloured,
}

impl Style {
    /// Colours for a terminal, unless `NO_COLOR` is set.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        if stream.is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            Self::Coloured
        } else {
            Self::Plain
        }
    }
}

/// Findings, then one line that sums up.
pub(super) fn write(documents: &Documents, out: &mut impl Write, style: Style) -> io::Result<()> {
    diagnostics(&documents.diagnostics, &documents.files, out, style)?;
    super::status::write(&documents.statuses, out)?;
    writeln!(out, "{}", summary_line(documents))
}

/// Findings, with the lines of the files they are about.
pub(crate) fn diagnostics(
    diagnostics: &[Diagnostic],
    files: &[SourceFile],
    out: &mut impl Write,
    style: Style,
) -> io::Result<()> {
    let texts: HashMap<&Path, &str> = files
        .iter()
        .map(|file| (file.path.as_path(), file.text.as_str()))
        .collect();
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    for diagnostic in diagnostics {
        let line = texts
            .get(&*diagnostic.source.file)
            .and_then(|text| line_at(text, diagnostic.source.line));
        writeln!(out, "{}\n", render(diagnostic, line, &renderer))?;
    }
    Ok(())
}

fn render(diagnostic: &Diagnostic, line: Option<&str>, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let mut title = level.primary_title(diagnostic.message.as_str());
    if let Some(code) = diagnostic.code {
        title = title.id(code);
    }
    let path = diagnostic.source.file.to_string_lossy();
    let line_number = diagnostic.source.line as usize;
    let mut group = match line {
        Some(line) => {
            let span = token(line, diagnostic.source.column as usize);
            let mut annotation = AnnotationKind::Primary.span(span);
            if !diagnostic.field.is_empty() {
                annotation = annotation.label(diagnostic.field.as_str());
            }
            title.element(
                Snippet::source(line)
                    .line_start(line_number)
                    .path(path)
                    .annotation(annotation),
            )
        }
        None => title.element(Origin::path(path)),
    };
    if !diagnostic.object.is_empty() {
        group = group.element(Level::NOTE.message(format!("in {}", diagnostic.object)));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

fn line_at(text: &str, line: u32) -> Option<&str> {
    text.lines().nth(line.checked_sub(1)? as usize)
}

/// Bytes of the word at a column (in characters, from 1), which may be quoted.
fn token(line: &str, column: usize) -> Range<usize> {
    let start = line
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(line.len(), |(at, _)| at);
    let rest = &line[start..];
    let length = match rest.chars().next() {
        None => 0,
        Some(quote @ ('"' | '\'')) => rest[1..].find(quote).map_or(rest.len(), |end| end + 2),
        Some(_) => {
            let word = rest
                .split([' ', '\t', ',', '}', ']'])
                .next()
                .unwrap_or_default();
            word.strip_suffix(':')
                .unwrap_or(word)
                .len()
                .max(rest.chars().next().map_or(0, char::len_utf8))
        }
    };
    start..start + length
}

/// `2 errors, 1 warning in 3 files: 4 VirtualService, 1 Gateway; ignored: 2 apps/v1 Deployment`
pub(crate) fn summary_line(documents: &Documents) -> String {
    let mut line = format!(
        "{}, {} in {}",
        counted(documents.count(Severity::Error), "error"),
        counted(documents.count(Severity::Warning), "warning"),
        counted(documents.files.len(), "file"),
    );
    let summary = &documents.summary;
    let loaded: Vec<_> = summary
        .loaded
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    if !loaded.is_empty() {
        line.push_str(&format!(": {}", loaded.join(", ")));
    }
    let ignored: Vec<_> = summary
        .ignored
        .iter()
        .map(|(kind, found)| format!("{} {kind}", found.count))
        .collect();
    if !ignored.is_empty() {
        line.push_str(&format!("; ignored: {}", ignored.join(", ")));
    }
    if documents.test_files > 0 {
        let files = counted(documents.test_files, "file");
        line.push_str(&format!("; left to `dalbi test`: {files}"));
    }
    line
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use mesh::Source;

    use super::*;

    #[test]
    fn a_finding_shows_its_line() {
        let file = SourceFile {
            path: "vs.yaml".into(),
            text: "kind: VirtualService\n  héé: subsett: v1\n".to_owned(),
        };
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code: Some("IST0101"),
            source: Source {
                file: Path::new("vs.yaml").into(),
                line: 2,
                column: 8,
                document: 1,
            },
            object: "VirtualService default/reviews".to_owned(),
            field: "spec.http[0].route[0].destination.subsett".to_owned(),
            message: "unknown field `subsett`".to_owned(),
            help: Some("did you mean `subset`?".to_owned()),
        };
        let mut out = Vec::new();
        diagnostics(&[diagnostic], &[file], &mut out, Style::Plain).unwrap();
        let expected = "\
error[IST0101]: unknown field `subsett`
 --> vs.yaml:2:8
  |
2 |   héé: subsett: v1
  |        ^^^^^^^ spec.http[0].route[0].destination.subsett
  |
  = note: in VirtualService default/reviews
  = help: did you mean `subset`?

";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_place_outside_the_text_is_no_panic() {
        let file = SourceFile {
            path: "a.yaml".into(),
            text: "é".to_owned(),
        };
        for (line, column) in [(0, 0), (1, 1), (1, 2), (1, 99), (7, 1)] {
            let diagnostic = Diagnostic {
                severity: Severity::Warning,
                code: None,
                source: Source {
                    file: Path::new("a.yaml").into(),
                    line,
                    column,
                    document: 1,
                },
                object: String::new(),
                field: String::new(),
                message: "odd".to_owned(),
                help: None,
            };
            let mut out = Vec::new();
            diagnostics(
                &[diagnostic],
                std::slice::from_ref(&file),
                &mut out,
                Style::Coloured,
            )
            .unwrap();
            assert!(
                String::from_utf8(out).unwrap().contains("odd"),
                "{line}:{column}"
            );
        }
    }

    #[test]
    fn tokens() {
        for (line, column, expected) in [
            ("a: b", 1, "a"),
            ("a: b", 4, "b"),
            ("{a: \"b c\", d: 'e'}", 5, "\"b c\""),
            ("{a: \"b c\", d: 'e'}", 15, "'e'"),
            ("[x,y]", 2, "x"),
            ("h: http://x:80/y", 4, "http://x:80/y"),
            ("- [", 3, "["),
        ] {
            assert_eq!(&line[token(line, column)], expected, "{line} at {column}");
        }
    }
}
