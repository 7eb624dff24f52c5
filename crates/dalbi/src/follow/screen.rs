//! How a probation goes, while one waits: one line that is written over on a terminal, else a line every ten seconds.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use engine::api::Progress;
use tokio::time::Instant;

use crate::history::judgement;

/// Without a terminal, between two lines: enough to see in a build's log that it lives.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Where progress is shown: standard error, since the result goes to standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    is_terminal: bool,
    shown: Option<Instant>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            shown: None,
        }
    }

    /// Shows how it goes, if it is time to.
    pub(crate) fn show(&mut self, progress: &Progress) -> io::Result<()> {
        let mut stderr = io::stderr();
        if self.is_terminal {
            self.shown = Some(Instant::now());
            let line = cut(&line(progress), width());
            // Cleared to its end, so that a shorter line leaves nothing behind.
            write!(stderr, "\r{line}\x1b[K")?;
            return stderr.flush();
        }
        if self.shown.is_none_or(|shown| shown.elapsed() >= LINE_EVERY) {
            self.shown = Some(Instant::now());
            writeln!(stderr, "{}", line(progress))?;
        }
        Ok(())
    }

    /// Makes room for the result.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        if self.is_terminal && self.shown.take().is_some() {
            let mut stderr = io::stderr();
            write!(stderr, "\r\x1b[K")?;
            stderr.flush()?;
        }
        Ok(())
    }
}

/// `12 s, 48 s left  1,204 requests: …  no harm so far`
fn line(progress: &Progress) -> String {
    let left = match progress.held {
        true => "held".to_owned(),
        false => format!("{:.0} s left", progress.remaining_s.max(0.0)),
    };
    let mut line = format!("{:.0} s, {left}  {}", progress.elapsed_s, progress.line);
    if progress.awaits_remote {
        line.push_str("  not come through yet");
    }
    let verdict = judgement(&progress.evidence);
    if !verdict.is_empty() {
        line = format!("{line}  {verdict}");
    }
    line
}

/// A line that wraps could not be written over.
fn cut(line: &str, width: usize) -> String {
    line.chars().take(width.saturating_sub(1)).collect()
}

fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    match size.map(|size| size.ws_col) {
        Ok(0) | Err(_) => 80,
        Ok(columns) => columns.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_time_figures_and_what_is_missing() {
        let progress = Progress {
            id: String::new(),
            from: None,
            held: false,
            elapsed_s: 12.3,
            remaining_s: 47.7,
            share: 1.0,
            awaits_remote: true,
            line: "1,204 requests: 0.0 % failed".to_owned(),
            evidence: json!(null),
        };
        let line = line(&progress);
        assert_eq!(
            line,
            "12 s, 48 s left  1,204 requests: 0.0 % failed  not come through yet"
        );
        assert_eq!(cut(&line, 7), "12 s, ");
    }
}
