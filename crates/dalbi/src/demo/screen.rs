//! The demo as it runs: a table redrawn in place on a terminal, else a line a second.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::servers::Server;
use super::summary::{bar, shown_ms};
use super::{Comparison, Servers, Side, Summary};
use crate::load::Window;

/// Redraws per second on a terminal.
const FRAMES_PER_S: u32 = 4;

/// Shows what happens.
#[derive(Debug)]
pub(crate) struct Screen {
    mode: Mode,
    /// Of each side.
    recent: Vec<Recent>,
    elapsed: Duration,
    /// Lines drawn last time, which the next frame goes over.
    lines: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Table,
    Lines,
    Silent,
}

/// What the screen keeps of one side.
#[derive(Debug, Default)]
struct Recent {
    /// The last second in pieces of one frame.
    windows: VecDeque<Window>,
    /// Requests without a good answer since the start.
    failed: u64,
}

impl Screen {
    /// A table if standard output is a terminal; nothing at all if `silent`.
    pub(crate) fn new(silent: bool) -> Self {
        let mode = match (silent, io::stdout().is_terminal()) {
            (true, _) => Mode::Silent,
            (false, true) => Mode::Table,
            (false, false) => Mode::Lines,
        };
        Self {
            mode,
            recent: Vec::new(),
            elapsed: Duration::ZERO,
            lines: 0,
        }
    }

    /// Time between two calls of [`Self::show`].
    pub(crate) fn interval(&self) -> Duration {
        match self.mode {
            Mode::Table => Duration::from_secs(1) / FRAMES_PER_S,
            Mode::Lines | Mode::Silent => Duration::from_secs(1),
        }
    }

    /// Shows the results of one more interval.
    pub(crate) fn show(&mut self, sides: &[Side], out: &mut impl Write) -> io::Result<()> {
        self.elapsed += self.interval();
        self.recent.resize_with(sides.len(), Recent::default);
        let interval = self.interval();
        let last_second = |(side, recent): (&Side, &mut Recent)| recent.next(side, interval);
        let results: Vec<Summary> = sides
            .iter()
            .zip(&mut self.recent)
            .map(last_second)
            .collect();
        match self.mode {
            Mode::Table => self.draw(sides, results, out),
            Mode::Lines => self.lines(&results, out),
            Mode::Silent => Ok(()),
        }
    }

    fn draw(
        &mut self,
        sides: &[Side],
        mut results: Vec<Summary>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        for (result, recent) in results.iter_mut().zip(&self.recent) {
            result.failed = recent.failed;
        }
        let mut frame = Vec::new();
        writeln!(
            frame,
            "after {:.0} s, over the last second (errors since the start):",
            self.elapsed.as_secs_f64()
        )?;
        match (sides, results.as_slice()) {
            ([side], [alone]) => write_table(&side.servers, alone, &mut frame)?,
            (_, both) => Comparison::new(both).write_table(&mut frame)?,
        }
        let frame = String::from_utf8_lossy(&frame);
        if self.lines > 0 {
            write!(out, "\x1b[{}A", self.lines)?;
        }
        // Each line is cleared to its end, so that a shorter one leaves nothing behind and nothing flickers.
        for line in frame.lines() {
            writeln!(out, "{line}\x1b[K")?;
        }
        self.lines = frame.lines().count();
        out.flush()
    }

    fn lines(&self, results: &[Summary], out: &mut impl Write) -> io::Result<()> {
        for result in results {
            write!(out, "{:>4} s  ", self.elapsed.as_secs())?;
            if results.len() > 1 {
                write!(out, "{:<13}  ", result.algorithm)?;
            }
            write!(
                out,
                "{} req/s, p50 {} ms, p99 {} ms, {} failed;",
                result.requests,
                shown_ms(result.p50_ms),
                shown_ms(result.p99_ms),
                result.failed,
            )?;
            for endpoint in &result.endpoints {
                write!(out, " {} {}/s", endpoint.name, endpoint.requests)?;
            }
            writeln!(out)?;
        }
        out.flush()
    }
}

impl Recent {
    /// The last second, with one more interval at its end.
    fn next(&mut self, side: &Side, interval: Duration) -> Summary {
        let window = side.load.recorder().take_window();
        self.failed += window.all.errors;
        self.windows.push_back(window);
        let kept = (Duration::from_secs(1).as_millis() / interval.as_millis()) as usize;
        if self.windows.len() > kept {
            self.windows.pop_front();
        }
        let mut last_second = Window::default();
        for window in &self.windows {
            last_second.add(window);
        }
        Summary::new(side, &last_second, interval * self.windows.len() as u32)
    }
}

/// A row for each server and one for all of them.
fn write_table(servers: &Servers, result: &Summary, out: &mut impl Write) -> io::Result<()> {
    let seconds = result.duration.as_secs_f64();
    // Within 80 columns: a line that wraps would spoil the redrawing.
    writeln!(
        out,
        "{:<8} {:>6} {:>7} {:<12} {:>9} {:>8} {:>8} {:>7}",
        "server", "req/s", "share", "", "in flight", "p50 ms", "p99 ms", "errors"
    )?;
    for (server, endpoint) in servers.iter().zip(&result.endpoints) {
        writeln!(
            out,
            "{:<8} {:>6.0} {:>6.1}% {:<12} {:>9} {:>8} {:>8} {:>7}",
            endpoint.name,
            endpoint.requests as f64 / seconds,
            endpoint.share * 100.0,
            bar(endpoint.share, 12),
            server.in_flight(),
            shown_ms(endpoint.p50_ms),
            shown_ms(endpoint.p99_ms),
            endpoint.errors,
        )?;
    }
    let in_flight: u64 = servers.iter().map(Server::in_flight).sum();
    writeln!(
        out,
        "{:<8} {:>6.0} {:>7} {:<12} {in_flight:>9} {:>8} {:>8} {:>7}",
        "all",
        result.requests as f64 / seconds,
        "",
        "",
        shown_ms(result.p50_ms),
        shown_ms(result.p99_ms),
        result.failed,
    )
}
