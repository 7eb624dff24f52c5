//! Results for people.

use std::io::{self, Write};

use super::{Case, Failure, Verdict};

/// Failures of different kinds that are shown of one case.
const SHOWN_FAILURES: usize = 3;

/// One line for a case that passes; for others what is not as it should be.
pub(crate) fn write(case: &Case, verdict: &Verdict, out: &mut impl Write) -> io::Result<()> {
    let Verdict { requests, failures } = verdict;
    let count = match requests {
        1 => "1 request".to_owned(),
        count => format!("{count} requests"),
    };
    if failures.is_empty() {
        return writeln!(out, "ok    {}  ({count})", case.description);
    }
    writeln!(out, "FAIL  {}  {}", case.description, case.source)?;
    let groups = alike(failures);
    for (failure, others) in groups.iter().take(SHOWN_FAILURES) {
        write_failure(failure, *others, out)?;
    }
    let left: usize = groups
        .iter()
        .skip(SHOWN_FAILURES)
        .map(|(_, others)| others + 1)
        .sum();
    if left > 0 {
        writeln!(out, "      and {left} more of {count}")?;
    }
    Ok(())
}

/// The first of each kind of failure, and how many others fail like it.
fn alike(failures: &[Failure]) -> Vec<(&Failure, usize)> {
    let mut groups: Vec<(&Failure, usize)> = Vec::new();
    for failure in failures {
        let same = |other: &Failure| {
            (&other.rule, &other.listener, &other.mismatches, &other.hint)
                == (
                    &failure.rule,
                    &failure.listener,
                    &failure.mismatches,
                    &failure.hint,
                )
        };
        match groups.iter_mut().find(|(first, _)| same(first)) {
            Some((_, others)) => *others += 1,
            None => groups.push((failure, 0)),
        }
    }
    groups
}

fn write_failure(failure: &Failure, others: usize, out: &mut impl Write) -> io::Result<()> {
    let like = match others {
        0 => String::new(),
        1 => "  (and 1 other)".to_owned(),
        others => format!("  (and {others} others)"),
    };
    writeln!(out, "      {}{like}", failure.request)?;
    for mismatch in &failure.mismatches {
        writeln!(out, "        {}", mismatch.what)?;
        writeln!(out, "          expected  {}", mismatch.expected)?;
        writeln!(out, "          got       {}", mismatch.got)?;
    }
    match (&failure.listener, &failure.rule) {
        (Some(listener), Some((name, source))) => {
            writeln!(out, "        taken by {name}  {source}  on {listener}")?;
        }
        (Some(listener), None) => writeln!(out, "        taken by no rule on {listener}")?,
        (None, _) => {}
    }
    if let Some(hint) = &failure.hint {
        writeln!(out, "        note: {hint}")?;
    }
    Ok(())
}
