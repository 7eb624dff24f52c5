//! Steps that are all run, however many of them fail.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What came of the steps so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration, Option<String>)>,
}

impl Steps {
    /// Runs one step and says how it went; a failure is kept for [`Steps::finish`].
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        println!("==> {name}");
        let start = Instant::now();
        let error = work().err().map(|error| format!("{error:#}"));
        if let Some(error) = &error {
            eprintln!("{name} failed: {error}");
        }
        self.done.push((name.to_owned(), start.elapsed(), error));
    }

    /// Prints one line per step; an error if any failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!();
        for (name, time, error) in &self.done {
            let verdict = if error.is_some() { "FAILED" } else { "ok" };
            println!("{verdict:7} {:6.1} s  {name}", time.as_secs_f64());
        }
        let failed: Vec<&str> = self
            .done
            .iter()
            .filter(|(_, _, error)| error.is_some())
            .map(|(name, _, _)| name.as_str())
            .collect();
        if !failed.is_empty() {
            bail!(
                "{} of {} steps failed: {}",
                failed.len(),
                self.done.len(),
                failed.join(", ")
            );
        }
        Ok(())
    }
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs to the end with the terminal handed through; an error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// The standard output of a command that succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` ended with {}: {}", output.status, errors.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no UTF-8"))
}

fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
