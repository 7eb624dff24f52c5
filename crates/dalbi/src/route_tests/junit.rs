//! Results as CI systems read them: JUnit's XML, one suite per file.

use std::fmt::Write as _;
use std::path::Path;

use super::{Case, Verdict};

/// Every case in the order in which they were tried.
pub(crate) fn write(results: &[(Case, Verdict)]) -> String {
    let mut suites: Vec<(&Path, Vec<&(Case, Verdict)>)> = Vec::new();
    for result in results {
        let file = &*result.0.source.file;
        match suites.iter_mut().find(|(other, _)| *other == file) {
            Some((_, cases)) => cases.push(result),
            None => suites.push((file, vec![result])),
        }
    }
    let failed = |cases: &[&(Case, Verdict)]| {
        let failing = cases
            .iter()
            .filter(|(_, verdict)| !verdict.failures.is_empty());
        failing.count()
    };
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all: Vec<_> = results.iter().collect();
    line(
        &mut xml,
        &format!(
            "<testsuites name=\"dalbi test\" tests=\"{}\" failures=\"{}\">",
            all.len(),
            failed(&all)
        ),
    );
    for (file, cases) in suites {
        let name = escaped(&file.display().to_string());
        line(
            &mut xml,
            &format!(
                "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\">",
                cases.len(),
                failed(&cases)
            ),
        );
        for (case, verdict) in cases {
            let opening = format!(
                "    <testcase name=\"{}\" classname=\"{name}\" file=\"{name}\" line=\"{}\"",
                escaped(&case.description),
                case.source.line
            );
            if verdict.failures.is_empty() {
                line(&mut xml, &format!("{opening}/>"));
                continue;
            }
            line(&mut xml, &format!("{opening}>"));
            let mut text = Vec::new();
            super::write_text(case, verdict, &mut text).expect("memory takes all");
            let text = String::from_utf8_lossy(&text).into_owned();
            let message = format!(
                "{} of {} requests",
                verdict.failures.len(),
                verdict.requests
            );
            line(
                &mut xml,
                &format!(
                    "      <failure message=\"{message}\">{}</failure>",
                    escaped(text.trim_end())
                ),
            );
            line(&mut xml, "    </testcase>");
        }
        line(&mut xml, "  </testsuite>");
    }
    line(&mut xml, "</testsuites>");
    xml
}

fn line(xml: &mut String, text: &str) {
    writeln!(xml, "{text}").expect("a String takes all");
}

/// For text and attributes. Characters that XML has no way to write are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(character),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_have_is_replaced() {
        assert_eq!(
            escaped("a<b> & \"c\"\u{1b}\n"),
            "a&lt;b&gt; &amp; &quot;c&quot;\u{fffd}\n"
        );
    }
}
