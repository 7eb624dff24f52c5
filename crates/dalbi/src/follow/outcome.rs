//! What became of a generation: a line for people, an object for programs, an exit code.

use engine::api::Progress;
use generations::State;
use serde_json::{Value, json};

use crate::admin_client::short;
use crate::cli::Verdict;

/// How following a generation ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Read back as confirmed.
    Confirmed,
    /// Nothing had to be done.
    Unchanged,
    /// It serves no more.
    TakenBack { state: State, why: String },
    /// The deadline passed, and there was too little evidence.
    Held,
    /// It goes on being tried; nobody waits for it.
    Left,
}

/// The outcome, and of what.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) id: String,
    pub(crate) number: u64,
    pub(crate) from: Option<String>,
    /// How it went, as far as was seen.
    pub(crate) progress: Option<Progress>,
    /// Why its author could not come through its listener, as tried last.
    pub(crate) remote_trouble: Option<String>,
}

impl Ending {
    /// The exit code's meaning.
    pub(crate) fn verdict(&self) -> Verdict {
        match self.outcome {
            Outcome::Confirmed | Outcome::Unchanged => Verdict::Good,
            Outcome::TakenBack { .. } => Verdict::TakenBack,
            Outcome::Held | Outcome::Left => Verdict::Undecided,
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let (number, name) = (
            self.number,
            format!("{} ({})", self.number, short(&self.id)),
        );
        let after = self.progress.as_ref().map_or_else(String::new, |progress| {
            format!(" after {:.0} s: {}", progress.elapsed_s, progress.line)
        });
        let trouble = self.remote_trouble.as_ref();
        let trouble = trouble.map_or_else(String::new, |trouble| format!("; at last: {trouble}"));
        match &self.outcome {
            Outcome::Confirmed => format!("generation {name} is confirmed{after}"),
            Outcome::Unchanged => {
                format!("nothing to do: generation {name} has these documents already")
            }
            Outcome::TakenBack { state, why } => {
                let back = self.from.as_deref().map_or_else(String::new, |from| {
                    format!("; generation {} serves again", short(from))
                });
                // Whatever took its place serves then.
                let back = if *state == State::Superseded {
                    String::new()
                } else {
                    back
                };
                let why = if why.is_empty() {
                    String::new()
                } else {
                    format!(": {why}")
                };
                format!("generation {name} {}{why}{trouble}{back}", was(*state))
            }
            Outcome::Held => format!(
                "generation {name} is held, neither confirmed nor taken back{after}; it serves on: \
                 `dalbi generations confirm {number}` keeps it, `dalbi generations cancel {number}` takes it back"
            ),
            Outcome::Left => format!(
                "generation {name} goes on being tried; `dalbi generations show {number}` says how it goes, \
                 `dalbi generations cancel {number}` takes it back"
            ),
        }
    }

    /// One object for programs.
    pub(crate) fn json(&self) -> Value {
        let (outcome, why) = match &self.outcome {
            Outcome::Confirmed => (json!("confirmed"), None),
            Outcome::Unchanged => (json!("unchanged"), None),
            Outcome::TakenBack { state, why } => (json!(state), Some(why)),
            Outcome::Held => (json!("held"), None),
            Outcome::Left => (json!("pending"), None),
        };
        let progress = self.progress.as_ref();
        json!({
            "outcome": outcome,
            "id": self.id,
            "number": self.number,
            "from": self.from,
            "why": why,
            "elapsed_s": progress.map(|progress| progress.elapsed_s),
            "evidence": progress.map(|progress| &progress.evidence),
            "remote_trouble": self.remote_trouble,
        })
    }
}

fn was(state: State) -> &'static str {
    match state {
        State::RolledBack => "was rolled back",
        State::Cancelled => "was cancelled",
        State::Superseded => "was superseded",
        State::Interrupted => "was interrupted",
        State::Crashed => "crashed",
        _ => "ended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(outcome: Outcome) -> Ending {
        let progress = Progress {
            id: "ab".repeat(32),
            from: Some("cd".repeat(32)),
            held: false,
            elapsed_s: 60.2,
            remaining_s: -0.2,
            share: 1.0,
            awaits_remote: false,
            line: "1,204 requests: 0.0 % failed".to_owned(),
            evidence: json!({ "new": { "requests": 1204 } }),
        };
        Ending {
            outcome,
            id: progress.id.clone(),
            number: 4,
            from: progress.from.clone(),
            progress: Some(progress),
            remote_trouble: None,
        }
    }

    #[test]
    fn each_outcome_has_its_line_and_its_exit_code() {
        let taken_back = |state| Outcome::TakenBack {
            state,
            why: "2 % failed".to_owned(),
        };
        for (outcome, verdict, name, line) in [
            (
                Outcome::Confirmed,
                Verdict::Good,
                "confirmed",
                "generation 4 (abababababab) is confirmed after 60 s: 1,204 requests: 0.0 % failed",
            ),
            (
                Outcome::Unchanged,
                Verdict::Good,
                "unchanged",
                "nothing to do: generation 4 (abababababab) has these documents already",
            ),
            (
                taken_back(State::RolledBack),
                Verdict::TakenBack,
                "rolled-back",
                "generation 4 (abababababab) was rolled back: 2 % failed; generation cdcdcdcdcdcd serves again",
            ),
            (
                taken_back(State::Superseded),
                Verdict::TakenBack,
                "superseded",
                "generation 4 (abababababab) was superseded: 2 % failed",
            ),
            (
                Outcome::Held,
                Verdict::Undecided,
                "held",
                "generation 4 (abababababab) is held, neither confirmed nor taken back after 60 s: 1,204 requests: \
                 0.0 % failed; it serves on: `dalbi generations confirm 4` keeps it, `dalbi generations cancel 4` \
                 takes it back",
            ),
            (
                Outcome::Left,
                Verdict::Undecided,
                "pending",
                "generation 4 (abababababab) goes on being tried; `dalbi generations show 4` says how it goes, \
                 `dalbi generations cancel 4` takes it back",
            ),
        ] {
            let ending = ending(outcome);
            assert_eq!(ending.line(), line);
            assert_eq!(ending.verdict(), verdict, "{line}");
            assert_eq!(ending.json()["outcome"], name);
            assert_eq!(ending.json()["evidence"]["new"]["requests"], 1204);
        }
    }

    #[test]
    fn who_could_not_come_through_is_told_why() {
        let mut ending = ending(Outcome::TakenBack {
            state: State::RolledBack,
            why: "its author did not come".to_owned(),
        });
        ending.remote_trouble = Some("connection refused".to_owned());
        let line = ending.line();
        assert!(
            line.contains("did not come; at last: connection refused; generation cd"),
            "{line}"
        );
    }
}
