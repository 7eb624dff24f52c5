//! What came of the checks.

use std::fmt::Write as _;

/// What came of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Not as expected: how.
    Failed(String),
    /// Not as expected, which is known: how, and why.
    Known(String, &'static str),
    /// As expected, though it is on the list of those that are not.
    Surprise(&'static str),
    /// Cannot be asked here: why.
    Unsupported(String),
}

/// A check and what came of it.
#[derive(Debug, Clone)]
pub struct Row {
    /// Where it is in the data.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// A test: several rows of one subject.
#[derive(Debug, Clone)]
pub struct Test {
    /// Its name in the data.
    pub name: String,
    /// What it needs.
    pub features: Vec<String>,
    /// Not demanded of anybody yet.
    pub provisional: bool,
    /// What it consists of.
    pub rows: Vec<Row>,
}

/// How many rows had which outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// As expected, surprises among them.
    pub passed: usize,
    /// Not as expected.
    pub failed: usize,
    /// Not as expected, but on the list.
    pub known: usize,
    /// Not asked.
    pub unsupported: usize,
}

impl Counts {
    /// Of some rows.
    #[must_use]
    pub fn of<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Self {
        let mut counts = Self::default();
        for row in rows {
            match row.outcome {
                Outcome::Passed | Outcome::Surprise(_) => counts.passed += 1,
                Outcome::Failed(_) => counts.failed += 1,
                Outcome::Known(..) => counts.known += 1,
                Outcome::Unsupported(_) => counts.unsupported += 1,
            }
        }
        counts
    }
}

/// Everything that was checked.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// In the order of the data.
    pub tests: Vec<Test>,
}

impl Report {
    /// A line per test and two per row that did not pass.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        for test in &self.tests {
            let counts = Counts::of(&test.rows);
            // Writing to a string cannot fail.
            let _written = writeln!(
                text,
                "{:60} passed {:3}  failed {:3}  known {:3}  unsupported {:3}",
                test.name, counts.passed, counts.failed, counts.known, counts.unsupported
            );
            for row in &test.rows {
                let (kind, why) = match &row.outcome {
                    Outcome::Passed => continue,
                    Outcome::Failed(why) => ("FAILED", why.clone()),
                    Outcome::Known(why, reason) => ("known", format!("{why} ({reason})")),
                    Outcome::Surprise(reason) => (
                        "SURPRISE",
                        format!("passes, but is listed as known to fail: {reason}"),
                    ),
                    Outcome::Unsupported(why) => ("unsupported", why.clone()),
                };
                let _written = writeln!(text, "  {kind} {} {:?}\n    {why}", row.id, row.title);
            }
        }
        let counts = Counts::of(self.rows());
        let _written = writeln!(
            text,
            "{} tests: {} rows passed, {} failed, {} known to fail, {} unsupported",
            self.tests.len(),
            counts.passed,
            counts.failed,
            counts.known,
            counts.unsupported
        );
        text
    }

    /// Rows that make a run fail.
    pub fn wrong(&self) -> impl Iterator<Item = &Row> {
        let wrong = |row: &&Row| matches!(row.outcome, Outcome::Failed(_) | Outcome::Surprise(_));
        self.rows().filter(wrong)
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.tests.iter().flat_map(|test| &test.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_surprises_are_wrong() {
        let row = |id: &str, outcome: Outcome| Row {
            id: id.to_owned(),
            title: String::new(),
            outcome,
        };
        let report = Report {
            tests: vec![Test {
                name: "T".to_owned(),
                features: Vec::new(),
                provisional: false,
                rows: vec![
                    row("a", Outcome::Passed),
                    row("b", Outcome::Failed("because".to_owned())),
                    row("c", Outcome::Known("so".to_owned(), "reason")),
                    row("d", Outcome::Surprise("reason")),
                    row("e", Outcome::Unsupported("none".to_owned())),
                ],
            }],
        };
        let wrong: Vec<&str> = report.wrong().map(|row| row.id.as_str()).collect();
        assert_eq!(wrong, ["b", "d"]);
        let counts = Counts::of(report.rows());
        assert_eq!(
            (
                counts.passed,
                counts.failed,
                counts.known,
                counts.unsupported
            ),
            (2, 1, 1, 1)
        );
        assert!(report.table().contains("FAILED b"), "{}", report.table());
    }
}
