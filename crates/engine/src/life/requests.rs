//! What can be asked for.

use std::time::{Duration, Instant};

use generations::{Document, End, GcReport, Generation, GenerationId, Note, Proposal};
use probation::Gate;
use serde_json::json;

use super::trial::Trial;
use super::{DALBI, Life, OBSERVED, Served, note, unix_ms};
use crate::api::{Accepted, Activate, Apply, Change, Terms};
use crate::boot::{Candidate, author};
use crate::loader::Loaded;
use crate::refusal::Refusal;
use crate::secret;

/// Which generation something new is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// Whichever is current.
    Any,
    /// This one, or none.
    Exactly(Option<GenerationId>),
}

/// Why a generation that nothing has been compared with is confirmed.
const AT_ONCE: &str = "no probation was asked for";

impl Life {
    /// Takes documents: stages them and serves by them from now on.
    pub(crate) fn apply(&mut self, apply: Apply, parent: Parent) -> Result<Accepted, Refusal> {
        let current = self.store()?.current();
        if let Parent::Exactly(expected) = parent
            && expected != current
        {
            return Err(Refusal::Stale { expected, current });
        }
        let (documents, observed) = self.loader.split(apply.documents);
        let proposal = Proposal {
            parent: current,
            author: apply.author,
            reason: apply.reason,
            source: apply.source,
            documents,
            options: Default::default(),
            signature: apply.signature,
        };
        // Whoever sends none leaves those that are known.
        let observed = (!observed.is_empty()).then_some(observed);
        self.propose(&proposal, observed, apply.terms)
    }

    /// Takes what a folder holds now. Whatever is being tried makes room for it. A refusal is told here, in the log and
    /// for `/config/status`.
    pub(crate) fn take(&mut self, candidate: Candidate) -> Result<Accepted, Refusal> {
        let taken = self.take_untold(candidate);
        if let Err(refusal) = &taken {
            let reasons = match refusal {
                Refusal::Findings(findings) => findings.list.clone(),
                other => json!(other.to_string()),
            };
            // First, so that whoever reads the log line finds the reasons at the admin server.
            self.dispatcher.reject(reasons);
            self.rejected.set(true);
            tracing::error!(reason = %refusal, "documents not taken; serving on what was loaded before");
        }
        taken
    }

    fn take_untold(&mut self, candidate: Candidate) -> Result<Accepted, Refusal> {
        if let Some(findings) = candidate.broken {
            return Err(Refusal::Findings(findings));
        }
        let (documents, observed) = self.loader.split(candidate.documents);
        let proposal = Proposal {
            parent: self.store()?.current(),
            author: author(),
            reason: "the folder changed".to_owned(),
            source: candidate.source,
            documents,
            options: Default::default(),
            signature: None,
        };
        let tree = Some(proposal.tree());
        if self.folder.source == proposal.source && self.folder.tree == tree {
            // Whatever became of them, only their endpoints can be news.
            return self.take_endpoints(observed);
        }
        let terms = Terms {
            supersede: true,
            ..candidate.terms
        };
        let taken = self.propose(&proposal, Some(observed.clone()), terms);
        if matches!(&taken, Ok(_) | Err(Refusal::Bad(_))) {
            self.folder.source = proposal.source;
            self.set_folder(tree);
        }
        if taken.is_err() && !self.upgrading {
            // The endpoints beside them are no less true for that. A refusal of these is no other news.
            drop(self.observe(observed));
        }
        taken
    }

    fn take_endpoints(&mut self, observed: Vec<Document>) -> Result<Accepted, Refusal> {
        if self.rejected.get() && observed == self.observed {
            self.join_observed()?;
        }
        self.observe(observed)?;
        let id = self.trial.as_ref().map(|trial| trial.id).or(self.served.id);
        let id = id.ok_or(Refusal::NotPending)?;
        let number = self.known(id)?.number;
        Ok(self.accepted(id, number, None, true))
    }

    fn propose(
        &mut self,
        proposal: &Proposal,
        observed: Option<Vec<Document>>,
        terms: Terms,
    ) -> Result<Accepted, Refusal> {
        self.check_staying()?;
        let gate = terms.check().map_err(Refusal::Impossible)?;
        let tree = proposal.tree();
        let in_force = self.trial.as_ref().map(|trial| trial.id).or(self.served.id);
        if let Some(id) = in_force {
            let same = self.known(id)?;
            if same.tree == tree {
                if self.rejected.get() {
                    self.join_observed()?;
                }
                if let Some(observed) = observed {
                    self.observe(observed)?;
                }
                return Ok(self.accepted(id, same.number, None, true));
            }
        }
        self.check_free(&terms)?;
        let observed = observed.unwrap_or_else(|| self.observed.clone());
        let loaded = self
            .loader
            .load(&proposal.source, &proposal.documents, &observed);
        let loaded = loaded.map_err(Refusal::Findings)?;
        let manifest = self.store()?.stage(proposal, terms.force, unix_ms())?;
        self.take_observed(observed);
        if let Some(current) = self.store()?.current() {
            let current = self.known(current)?;
            if current.tree == tree && self.served.id == Some(current.id) {
                self.supersede("what was confirmed was applied again");
                self.still_serving()?;
                return Ok(self.accepted(current.id, current.number, None, false));
            }
        }
        let by = proposal.author.as_str();
        self.begin(manifest.id, manifest.number, loaded, terms, gate, by)
    }

    /// Goes to a generation that the store has.
    pub(crate) fn activate(
        &mut self,
        id: GenerationId,
        activate: Activate,
    ) -> Result<Accepted, Refusal> {
        let terms = activate.terms.unwrap_or(Terms {
            probation_s: 0.0,
            supersede: true,
            ..Terms::default()
        });
        self.check_staying()?;
        let gate = terms.check().map_err(Refusal::Impossible)?;
        self.check_free(&terms)?;
        let number = self.known(id)?.number;
        if self.store()?.current() == Some(id) && self.served.id == Some(id) {
            self.supersede("its parent was activated");
            return Ok(self.accepted(id, number, None, true));
        }
        let loaded = self.mesh_of(id)?;
        self.begin(id, number, loaded, terms, gate, &activate.author)
    }

    /// Goes back: from what is being tried to what was confirmed, or from that to what was confirmed before it.
    pub(crate) fn roll_back(&mut self, activate: Activate) -> Result<Accepted, Refusal> {
        if self.trial.is_some() {
            self.take_back(End::Cancelled, &activate.author, &activate.reason);
            self.still_serving()?;
            let id = self.served.id.ok_or_else(|| {
                Refusal::NotFound(
                    "nothing was confirmed before; the rescue generation serves".to_owned(),
                )
            })?;
            let number = self.known(id)?.number;
            return Ok(self.accepted(id, number, None, false));
        }
        let previous = self.store()?.previous().map(|generation| generation.id);
        let previous = previous.ok_or_else(|| {
            Refusal::NotFound("no generation was confirmed before the current one".to_owned())
        })?;
        self.activate(previous, activate)
    }

    /// Confirms what is being tried, without waiting for evidence.
    pub(crate) fn confirm(&mut self, id: GenerationId, change: &Change) -> Result<(), Refusal> {
        self.check_pending(id)?;
        self.confirm_trial(&change.author, &change.reason)
    }

    /// Takes back what is being tried. Its documents are not held against it.
    pub(crate) fn cancel(&mut self, id: GenerationId, change: &Change) -> Result<(), Refusal> {
        self.check_pending(id)?;
        self.take_back(End::Cancelled, &change.author, &change.reason);
        self.still_serving()
    }

    /// Gives it more time, or less.
    pub(crate) fn extend(&mut self, id: GenerationId, change: &Change) -> Result<(), Refusal> {
        self.check_pending(id)?;
        let seconds = change.seconds.unwrap_or(60.0);
        let terms = Terms {
            probation_s: seconds,
            ..Terms::default()
        };
        terms.check().map_err(Refusal::Impossible)?;
        let deadline_unix_ms = unix_ms() + (seconds * 1e3) as u64;
        let note = note_of(change);
        self.store()?.extend(id, deadline_unix_ms, &note)?;
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        self.trial.as_mut().expect("it is pending").extend(deadline);
        self.show(Instant::now());
        Ok(())
    }

    /// Keeps a generation from being collected.
    pub(crate) fn pin(&mut self, id: GenerationId, change: &Change) -> Result<(), Refusal> {
        let name = change.name.as_deref().unwrap_or("pinned");
        Ok(self.store()?.pin(id, name, &note_of(change))?)
    }

    /// Takes a pin away.
    pub(crate) fn unpin(&mut self, id: GenerationId, change: &Change) -> Result<(), Refusal> {
        let name = change.name.as_deref().unwrap_or("pinned");
        self.store()?.unpin(id, name, &note_of(change))?;
        Ok(())
    }

    /// Removes what nobody can need any more.
    pub(crate) fn collect_garbage(&mut self, keep: Option<usize>) -> Result<GcReport, Refusal> {
        let keep = keep.unwrap_or(self.keep);
        Ok(self.store()?.gc(keep, &note(DALBI, ""))?)
    }

    /// Endpoints and the like have changed: they join whatever serves, and make no generation.
    pub(crate) fn observe(&mut self, observed: Vec<Document>) -> Result<(), Refusal> {
        if observed == self.observed {
            return Ok(());
        }
        self.check_staying()?;
        let before = std::mem::replace(&mut self.observed, observed);
        let joined = self.join_observed();
        match joined {
            Ok(()) => self.write_observed(),
            Err(_) => self.observed = before,
        }
        joined
    }

    /// Serves anew by what serves, with the endpoints and files of now.
    pub(crate) fn join_observed(&mut self) -> Result<(), Refusal> {
        let served = self.served.id.map(|id| self.mesh_of(id)).transpose()?;
        let tried = self.trial.as_ref().map(|trial| trial.id);
        let tried = tried.map(|id| self.mesh_of(id)).transpose()?;
        self.observed_count += 1;
        if let Some(served) = served {
            self.served.loaded = served;
            self.served.joined = self.observed_count;
        }
        match (&mut self.trial, tried) {
            (Some(trial), Some(loaded)) => trial.loaded = loaded,
            _ => return self.put(&self.served.loaded, &self.served.name()),
        }
        let trial = self.trial.as_ref().expect("it was just there");
        let name = trial.id.short();
        if trial.share >= 1.0 {
            self.put(&trial.loaded, &name)?;
        } else {
            self.put(&self.served.loaded, &self.served.name())?;
            self.dispatcher
                .apply_canary(trial.loaded.mesh.clone(), &name, trial.share)?;
        }
        if trial.is_awaited() && !self.dispatcher.confirmation_arrived() {
            // Asked of what has just come into force.
            self.dispatcher.expect_confirmation(trial.token.clone());
        }
        Ok(())
    }

    fn take_observed(&mut self, observed: Vec<Document>) {
        if observed != self.observed {
            self.observed = observed;
            self.observed_count += 1;
            self.write_observed();
        }
    }

    pub(crate) fn write_observed(&mut self) {
        let text = json!(self.observed).to_string();
        let Ok(store) = self.store() else {
            return;
        };
        if let Err(error) = store.put_aside(OBSERVED, text.as_bytes()) {
            tracing::warn!(%error, "endpoints can't be written down; a restart without their documents will not know them");
        }
    }

    fn begin(
        &mut self,
        id: GenerationId,
        number: u64,
        loaded: Loaded,
        terms: Terms,
        gate: Gate,
        by: &str,
    ) -> Result<Accepted, Refusal> {
        let token = terms.confirm_by_remote.then(secret::token).transpose();
        let token = token.map_err(Refusal::Impossible)?;
        let probation = Trial::probation(&terms, gate, &self.meter);
        let probation = probation.map_err(|error| Refusal::Impossible(error.to_string()))?;
        self.write_down()?;
        let base_is_another = self.end_superseded();
        if let Err(refusal) = self.swap(id, &loaded, &terms, base_is_another, by) {
            if base_is_another && terms.canary.is_none() {
                // What it was to take the place of has served until now.
                self.freshen();
                self.put(&self.served.loaded, &self.served.name())?;
            }
            return Err(refusal);
        }
        self.dispatcher.expect_confirmation(token.clone());
        let at_once = terms.probation_s == 0.0 && !terms.confirm_by_remote;
        let (from, tree) = (self.served.id, self.known(id)?.tree);
        let mut trial = Trial::new((id, tree), from, loaded, terms, probation, Instant::now());
        trial.token.clone_from(&token);
        self.trial = Some(trial);
        tracing::info!(generation = %id.short(), from = self.served.name(), "in probation");
        if at_once {
            self.confirm_trial(by, AT_ONCE)?;
        }
        self.show(Instant::now());
        let confirm_path = token.map(|token| format!("/.well-known/dalbi/confirm/{token}"));
        Ok(self.accepted(id, number, confirm_path, false))
    }

    /// Writes the intent and serves by it.
    fn swap(
        &mut self,
        id: GenerationId,
        loaded: &Loaded,
        terms: &Terms,
        base_is_another: bool,
        by: &str,
    ) -> Result<(), Refusal> {
        // A canary is compared with what was confirmed, as it is now.
        if terms.canary.is_some() && (self.freshen() || base_is_another) {
            self.put(&self.served.loaded, &self.served.name())?;
        }
        let deadline = unix_ms() + (terms.probation_s * 1e3) as u64;
        let intent = note(by, "").with_detail(json!(terms));
        self.store()?.intend(id, deadline, &intent)?;
        let name = id.short();
        let swapped = match terms.canary {
            Some(share) => {
                let applied = self
                    .dispatcher
                    .apply_canary(loaded.mesh.clone(), &name, share);
                applied.map(drop).map_err(Refusal::from)
            }
            None => self.put(loaded, &name),
        };
        if let Err(refusal) = &swapped {
            let why = format!("it can't be served: {refusal}");
            self.store()?.end(id, End::Cancelled, &note(DALBI, &why))?;
        }
        swapped
    }

    fn accepted(
        &self,
        id: GenerationId,
        number: u64,
        confirm_path: Option<String>,
        unchanged: bool,
    ) -> Accepted {
        let from = self.trial.as_ref().and_then(|trial| trial.from);
        Accepted {
            id: id.to_string(),
            number,
            from: from.map(|id| id.to_string()),
            confirm_path,
            unchanged,
        }
    }

    fn known(&mut self, id: GenerationId) -> Result<Generation, Refusal> {
        let known = self.store()?.generation(id).cloned();
        known.ok_or_else(|| Refusal::NotFound(format!("there is no generation {id}")))
    }

    fn check_free(&self, terms: &Terms) -> Result<(), Refusal> {
        match &self.trial {
            Some(trial) if !terms.supersede || trial.retry.is_some() => {
                Err(Refusal::Pending(trial.id))
            }
            _ => Ok(()),
        }
    }

    /// Nothing changes while another process takes over: it would not know.
    fn check_staying(&self) -> Result<(), Refusal> {
        if self.upgrading {
            let why = "an upgrade is under way; ask again when it is done";
            return Err(Refusal::Impossible(why.to_owned()));
        }
        Ok(())
    }

    fn check_pending(&self, id: GenerationId) -> Result<(), Refusal> {
        match &self.trial {
            Some(trial) if trial.id == id => Ok(()),
            Some(trial) => Err(Refusal::Pending(trial.id)),
            None => Err(Refusal::NotPending),
        }
    }

    /// Going back is tried again at every tick, but whoever asked should know.
    fn still_serving(&self) -> Result<(), Refusal> {
        match &self.trial {
            Some(trial) => Err(Refusal::Pending(trial.id)),
            None => Ok(()),
        }
    }

    /// Goes back to what is confirmed, if something is being tried.
    fn supersede(&mut self, why: &str) {
        if self.trial.is_some() {
            self.take_back(End::Superseded, DALBI, why);
        }
    }

    /// Ends what is being tried in the log; what comes now takes its place in the dispatcher.
    /// Whether it served all requests.
    fn end_superseded(&mut self) -> bool {
        let Some(trial) = self.trial.take() else {
            return false;
        };
        let why = "another took its place";
        self.write_end(&trial, End::Superseded, DALBI, why);
        self.meter.settle(false);
        if trial.share < 1.0 {
            self.dispatcher.drop_canary();
        }
        trial.share >= 1.0
    }

    /// What serves all requests that no canary takes.
    pub(crate) fn serving(&self) -> String {
        match &self.trial {
            Some(trial) if trial.share >= 1.0 => trial.id.to_string(),
            _ => self
                .served
                .id
                .map_or_else(|| super::RESCUE.to_owned(), |id| id.to_string()),
        }
    }

    /// Confirms the generation that this process was started with.
    pub(crate) fn confirm_first(
        &mut self,
        id: GenerationId,
        source: String,
    ) -> Result<(), Refusal> {
        let note = note(DALBI, "the process was started with it");
        self.store()?.confirm(id, &note)?;
        let tree = self.known(id)?.tree;
        self.folder.source = source;
        self.set_folder(Some(tree));
        self.served = Served {
            id: Some(id),
            loaded: self.served.loaded.clone(),
            joined: self.served.joined,
        };
        Ok(())
    }
}

fn note_of(change: &Change) -> Note {
    note(&change.author, &change.reason)
}
