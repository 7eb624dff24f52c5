//! What the admin server and its clients say to each other, as JSON.

use std::time::Duration;

use generations::{Document, Generation, Signature};
use serde::{Deserialize, Serialize};

/// How a generation is to be tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// How long it is watched before it can be confirmed, in seconds. Default 60: long enough for tens of requests of
    /// a service that has one a second, short enough to wait for.
    pub probation_s: f64,
    /// The share of requests that it serves meanwhile, above 0 and below 1; all of them without.
    pub canary: Option<f64>,
    /// What counts as harm, in the words of [`probation::Gate`]: `errors=0.5%`, `p99=20%`. Defaults hold for the rest.
    pub gate: Vec<String>,
    /// Confirm only when its author has come through one of its own listeners.
    pub confirm_by_remote: bool,
    /// Take the place of a generation that is still being tried, which ends without a verdict.
    pub supersede: bool,
    /// Try it although the same documents were rolled back before.
    pub force: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            probation_s: 60.0,
            canary: None,
            gate: Vec::new(),
            confirm_by_remote: false,
            supersede: false,
            force: false,
        }
    }
}

/// Longest probation: a day. What needs longer is an experiment, and restarts would end it.
const MAX_PROBATION_S: f64 = 86_400.0;

impl Terms {
    /// How long it is watched.
    pub fn probation(&self) -> Duration {
        Duration::from_secs_f64(self.probation_s)
    }

    /// The gate that its words make.
    ///
    /// # Errors
    /// Names the value that is out of range or not understood, and what is.
    pub fn check(&self) -> Result<probation::Gate, String> {
        if !(0.0..=MAX_PROBATION_S).contains(&self.probation_s) {
            return Err(format!(
                "a probation of {} s is not possible; choose 0 s to 24 h",
                self.probation_s
            ));
        }
        if self.confirm_by_remote && self.probation_s == 0.0 {
            let what =
                "a confirmation from outside needs a probation to arrive in; choose more than 0 s";
            return Err(what.to_owned());
        }
        if let Some(share) = self.canary
            && !(share > 0.0 && share < 1.0)
        {
            return Err(format!(
                "a canary of {} % is not possible; choose more than 0 % and less than 100 %",
                share * 100.0
            ));
        }
        self.gate
            .join(",")
            .parse()
            .map_err(|error: probation::GateError| error.to_string())
    }
}

/// Body of `POST /generations`. The header `If-Match` names the generation that it is meant to follow: its id in
/// quotes, or `*` for whichever is current.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Everything to be served, test files too.
    pub documents: Vec<Document>,
    /// Who wants it.
    pub author: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Where the documents are from, for people.
    #[serde(default)]
    pub source: String,
    /// How it is tried.
    #[serde(default)]
    pub terms: Terms,
    /// The author's.
    #[serde(default)]
    pub signature: Option<Signature>,
}

/// Body of `POST /generations/ID/activate` and `POST /generations/rollback`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Activate {
    /// Who wants it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// How it is tried; without, it is confirmed as soon as it serves.
    pub terms: Option<Terms>,
}

/// Body of `POST /generations/ID/{confirm,cancel,extend,pin,unpin}` and of `POST /generations/gc`; what a call has no
/// use for is left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// Who wants it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// `extend`: seconds from now to the new deadline.
    pub seconds: Option<f64>,
    /// `pin`, `unpin`: the pin's name.
    pub name: Option<String>,
    /// `gc`: how many of the newest generations stay.
    pub keep: Option<usize>,
}

/// Answer to a generation that was taken: it serves, and is being tried or is confirmed already.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Accepted {
    /// The generation, 64 hexadecimal digits.
    pub id: String,
    /// Counts the generations of this store.
    pub number: u64,
    /// What it goes back to.
    pub from: Option<String>,
    /// The path to ask for through one of its own listeners, with `confirm_by_remote`.
    pub confirm_path: Option<String>,
    /// Nothing had to be done: these documents are being served already.
    pub unchanged: bool,
}

/// A generation that is being tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    /// The generation.
    pub id: String,
    /// What it goes back to.
    pub from: Option<String>,
    /// The deadline has passed without enough evidence; it serves on, and is watched on.
    pub held: bool,
    /// Since it serves.
    pub elapsed_s: f64,
    /// To the deadline; negative when held.
    pub remaining_s: f64,
    /// The share of requests that it serves; 1 for all.
    pub share: f64,
    /// Its author has yet to come through one of its listeners.
    pub awaits_remote: bool,
    /// One line for people.
    pub line: String,
    /// The figures: [`probation::Evidence`].
    pub evidence: serde_json::Value,
}

/// Answer to `GET /generations`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Overview {
    /// What restarts come up on: the last that was confirmed.
    pub current: Option<String>,
    /// What serves requests that no canary takes: the id, or `rescue` where nothing could be loaded.
    pub serving: String,
    /// The one that is being tried.
    pub pending: Option<Progress>,
    /// Newest first.
    pub generations: Vec<Generation>,
}

/// Answer to `GET /generations/ID`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// What the store says of it, read from disk for this answer.
    pub generation: Generation,
    /// While it is being tried.
    pub pending: Option<Progress>,
}

/// Body of `POST /upgrade`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upgrade {
    /// The program to go on with; by default the file that this process was started from, as it is now.
    pub binary: Option<String>,
}

/// Answer to `POST /upgrade`: the new process serves, the old one drains.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Upgraded {
    /// The new process.
    pub pid: u32,
    /// From the call until the new process was ready, in milliseconds.
    pub took_ms: u64,
}

/// Body of every answer that is an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong and what to do.
    pub error: String,
    /// With 422: the findings of `dalbi check` or the failures of `dalbi test`.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub findings: serde_json::Value,
    /// With 412: what is current instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
}
