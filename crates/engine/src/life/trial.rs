//! A generation that serves and is not confirmed yet.

use std::time::Instant;

use generations::{End, GenerationId, TreeId};
use probation::{Design, DesignError, Gate, Probation, Tick, Verdict};
use serde_json::json;

use crate::api::{Progress, Terms};
use crate::evidence::{Meter, Reading};
use crate::loader::Loaded;

/// A generation that serves and is not confirmed yet.
pub(super) struct Trial {
    pub(super) id: GenerationId,
    pub(super) tree: TreeId,
    pub(super) from: Option<GenerationId>,
    pub(super) loaded: Loaded,
    /// The share of requests that it serves.
    pub(super) share: f64,
    pub(super) terms: Terms,
    /// How it is to end, by whom and why, while going back fails.
    pub(super) retry: Option<(End, String, String)>,
    began: Instant,
    deadline: Instant,
    held: bool,
    awaits_remote: bool,
    /// What its author has to show there.
    pub(super) token: Option<String>,
    probation: Probation,
}

/// What is to be done about it.
pub(super) enum Judged {
    Continue,
    Confirm {
        by: String,
    },
    /// Told once.
    Hold {
        why: String,
    },
    RollBack {
        why: String,
    },
}

impl Trial {
    pub(super) fn new(
        (id, tree): (GenerationId, TreeId),
        from: Option<GenerationId>,
        loaded: Loaded,
        terms: Terms,
        probation: Probation,
        now: Instant,
    ) -> Self {
        Self {
            id,
            tree,
            from,
            loaded,
            share: terms.canary.unwrap_or(1.0),
            retry: None,
            began: now,
            deadline: now + terms.probation(),
            held: false,
            awaits_remote: terms.confirm_by_remote,
            token: None,
            terms,
            probation,
        }
    }

    /// A probation under these terms, with what is known of the time before.
    pub(super) fn probation(
        terms: &Terms,
        gate: Gate,
        meter: &Meter,
    ) -> Result<Probation, DesignError> {
        let (baseline, busy) = meter.before();
        match terms.canary {
            Some(share) => {
                Ok(Probation::new(gate, Design::Canary { share })?.with_busy_before(busy))
            }
            None => Probation::new(gate, Design::Before { baseline, busy }),
        }
    }

    pub(super) fn observe(&mut self, reading: &Reading, baseline: &str) {
        self.probation.observe(&Tick {
            new: reading.of(&self.id.short()),
            baseline: (self.share < 1.0).then(|| reading.of(baseline)),
            busy: reading.busy,
        });
    }

    pub(super) fn judge(&mut self, now: Instant, came_by_remote: bool) -> Judged {
        self.awaits_remote &= !came_by_remote;
        let is_over = now >= self.deadline;
        match self.probation.verdict(is_over) {
            Verdict::RollBack(reasons) => {
                let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
                Judged::RollBack {
                    why: reasons.join("; "),
                }
            }
            _ if !is_over => Judged::Continue,
            _ if self.awaits_remote => Judged::RollBack {
                why: "its author did not come through one of its own listeners in time (--confirm-by-remote)".to_owned(),
            },
            Verdict::Promote => Judged::Confirm {
                by: "probation".to_owned(),
            },
            // Its author has seen it serve, which is more than no evidence.
            Verdict::Inconclusive(_) if self.terms.confirm_by_remote => Judged::Confirm {
                by: "its author, through one of its listeners".to_owned(),
            },
            Verdict::Inconclusive(why) if !self.held => {
                self.held = true;
                Judged::Hold {
                    why: why.to_string(),
                }
            }
            _ => Judged::Continue,
        }
    }

    /// Its author has yet to come.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaits_remote
    }

    /// Moves the deadline.
    pub(super) fn extend(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.held = false;
    }

    /// What the log keeps of how it went.
    pub(super) fn detail(&self) -> serde_json::Value {
        json!(self.probation.evidence())
    }

    pub(super) fn line(&self) -> String {
        self.probation.evidence().to_string()
    }

    pub(super) fn progress(&self, now: Instant) -> Progress {
        let until = |later: Instant| later.saturating_duration_since(now).as_secs_f64();
        let past = |earlier: Instant| now.saturating_duration_since(earlier).as_secs_f64();
        let evidence = self.probation.evidence();
        Progress {
            id: self.id.to_string(),
            from: self.from.map(|id| id.to_string()),
            held: self.held,
            elapsed_s: past(self.began),
            remaining_s: until(self.deadline) - past(self.deadline),
            share: self.share,
            awaits_remote: self.awaits_remote,
            line: evidence.to_string(),
            evidence: json!(evidence),
        }
    }
}
