//! The demo as it runs: a table redrawn in place on a terminal, else a line a second.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::Servers;
use super::servers::Server;
use super::summary::shown_ms;
use crate::load::{Tally, Window};

/// Redraws per second on a terminal.
const FRAMES_PER_S: u32 = 4;

/// Shows what happens.
#[derive(Debug)]
pub(crate) struct Screen {
    mode: Mode,
    /// The last second in pieces of one frame.
    recent: VecDeque<Window>,
    elapsed: Duration,
    /// Requests without a good answer since the start.
    failed: u64,
    /// Lines drawn last time, which the next frame goes over.
    lines: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Table,
    Lines,
    Silent,
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
            recent: VecDeque::new(),
            elapsed: Duration::ZERO,
            failed: 0,
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
    pub(crate) fn show(
        &mut self,
        servers: &Servers,
        window: Window,
        out: &mut impl Write,
    ) -> io::Result<()> {
        self.elapsed += self.interval();
        self.failed += window.all.errors;
        let kept = if self.mode == Mode::Table {
            FRAMES_PER_S as usize
        } else {
            1
        };
        self.recent.push_back(window);
        if self.recent.len() > kept {
            self.recent.pop_front();
        }
        let mut last_second = Window::default();
        for window in &self.recent {
            last_second.add(window);
        }
        match self.mode {
            Mode::Table => self.draw(servers, &last_second, out),
            Mode::Lines => self.line(servers, &last_second, out),
            Mode::Silent => Ok(()),
        }
    }

    fn draw(
        &mut self,
        servers: &Servers,
        last_second: &Window,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let seconds = self.interval().as_secs_f64() * self.recent.len() as f64;
        let answered: u64 = last_second
            .endpoints
            .values()
            .map(|tally| tally.requests)
            .sum();
        let none = Tally::default();
        let mut frame = Vec::new();
        writeln!(
            frame,
            "after {:.0} s, over the last second (errors since the start):",
            self.elapsed.as_secs_f64()
        )?;
        // Within 80 columns: a line that wraps would spoil the redrawing.
        writeln!(
            frame,
            "{:<8} {:>6} {:>7} {:<12} {:>9} {:>8} {:>8} {:>7}",
            "server", "req/s", "share", "", "in flight", "p50 ms", "p99 ms", "errors"
        )?;
        for server in servers.iter() {
            let tally = last_second.endpoints.get(&server.name).unwrap_or(&none);
            let share = tally.requests as f64 / answered.max(1) as f64;
            writeln!(
                frame,
                "{:<8} {:>6.0} {:>6.1}% {:<12} {:>9} {:>8} {:>8} {:>7}",
                server.name,
                tally.requests as f64 / seconds,
                share * 100.0,
                bar(share),
                server.in_flight(),
                shown_ms(tally.quantile_ms(0.5)),
                shown_ms(tally.quantile_ms(0.99)),
                server.failed(),
            )?;
        }
        let all = &last_second.all;
        let in_flight: u64 = servers.iter().map(Server::in_flight).sum();
        writeln!(
            frame,
            "{:<8} {:>6.0} {:>7} {:<12} {in_flight:>9} {:>8} {:>8} {:>7}",
            "all",
            all.requests as f64 / seconds,
            "",
            "",
            shown_ms(all.quantile_ms(0.5)),
            shown_ms(all.quantile_ms(0.99)),
            self.failed,
        )?;
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

    fn line(
        &self,
        servers: &Servers,
        last_second: &Window,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let all = &last_second.all;
        write!(
            out,
            "{:>4} s  {} req/s, p50 {} ms, p99 {} ms, {} failed;",
            self.elapsed.as_secs(),
            all.requests,
            shown_ms(all.quantile_ms(0.5)),
            shown_ms(all.quantile_ms(0.99)),
            all.errors,
        )?;
        for server in servers.iter() {
            let requests = last_second
                .endpoints
                .get(&server.name)
                .map_or(0, |tally| tally.requests);
            write!(out, " {} {requests}/s", server.name)?;
        }
        writeln!(out)?;
        out.flush()
    }
}

/// Twelve blocks for half of the traffic, in steps of an eighth of a block.
fn bar(share: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share * 2.0 * 12.0 * 8.0).round().min(12.0 * 8.0) as usize;
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(bar(0.0), "");
        assert_eq!(bar(1.0 / 6.0), "████");
        assert_eq!(bar(0.005), "▏");
        assert_eq!(bar(1.0).chars().count(), 12);
    }
}
