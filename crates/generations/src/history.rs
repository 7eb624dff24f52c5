//! What the log amounts to: which generation is current, which is on probation, what became of the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::generation::{Generation, Pending, State};
use crate::{End, Event, GenerationId, Manifest, Record, RecordHash, TreeId};

/// What could be read of a store whose log was damaged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remains {
    /// The generations whose manifests are whole, by number.
    pub generations: Vec<Generation>,
    /// Trees that are known as bad, and why.
    pub bad: BTreeMap<TreeId, String>,
    /// Generations in the order of their last confirmation.
    pub confirmed: Vec<GenerationId>,
    /// The number of the next generation.
    pub next_number: u64,
}

/// The log's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) hash: RecordHash,
}

/// The state that the records amount to.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// By number; collected ones are gone.
    generations: BTreeMap<u64, Generation>,
    numbers: HashMap<GenerationId, u64>,
    /// Of every generation there ever was: `previous` follows them past collected ones.
    parents: HashMap<GenerationId, Option<GenerationId>>,
    bad: HashMap<TreeId, String>,
    /// In the order of their last confirmation.
    confirmed: Vec<GenerationId>,
    current: Option<GenerationId>,
    pending: Option<Pending>,
    next_number: u64,
    tip: Tip,
}

impl Default for History {
    fn default() -> Self {
        Self {
            generations: BTreeMap::new(),
            numbers: HashMap::new(),
            parents: HashMap::new(),
            bad: HashMap::new(),
            confirmed: Vec::new(),
            current: None,
            pending: None,
            next_number: 1,
            tip: Tip {
                seq: 0,
                epoch: 0,
                hash: RecordHash::NONE,
            },
        }
    }
}

impl History {
    /// Takes the next record in.
    ///
    /// # Errors
    ///
    /// What can't be: the record is about a generation that is not there, or not in such a state. Nothing but the
    /// log's end has changed then.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<(), String> {
        self.tip = Tip {
            seq: record.seq,
            epoch: record.epoch,
            hash: record.hash,
        };
        let at = record.at_unix_ms;
        match &record.event {
            Event::Opened { .. } => Ok(()),
            Event::Salvaged { remains, .. } if record.seq == 1 => {
                self.salvaged(remains);
                Ok(())
            }
            Event::Salvaged { .. } => {
                Err("what was salvaged stands at a log's beginning".to_owned())
            }
            Event::Staged { id, .. } if self.parents.contains_key(id) => {
                Err(format!("generation {} is staged twice", id.short()))
            }
            Event::Staged { .. } => {
                self.staged(record);
                Ok(())
            }
            Event::Intent {
                id,
                from,
                deadline_unix_ms,
                detail,
            } => {
                self.intend(*id, *from)?;
                self.pending = Some(Pending {
                    id: *id,
                    from: *from,
                    since_unix_ms: at,
                    deadline_unix_ms: *deadline_unix_ms,
                    detail: detail.clone(),
                });
                self.became(*id, State::Pending, record);
                Ok(())
            }
            Event::Extended {
                id,
                deadline_unix_ms,
            } => {
                self.pending(*id)?.deadline_unix_ms = *deadline_unix_ms;
                Ok(())
            }
            Event::Confirmed { id, .. } => {
                self.pending(*id)?;
                self.confirm(*id, record);
                Ok(())
            }
            Event::Ended { id, end, .. } => {
                self.pending(*id)?;
                self.pending = None;
                self.became(*id, State::from(*end), record);
                let tree = self.tree(*id);
                // What is current is gone back to: to call the same documents bad would leave nothing good.
                let is_other = tree != self.current.and_then(|current| self.tree(current));
                if let (End::RolledBack | End::Crashed, Some(tree), true) = (end, tree, is_other) {
                    self.bad.insert(tree, record.why.clone());
                    self.mark_bad();
                }
                Ok(())
            }
            Event::Pinned { id, name } => {
                let pins = &mut self.known(*id)?.pins;
                if let Err(place) = pins.binary_search(name) {
                    pins.insert(place, name.clone());
                }
                Ok(())
            }
            Event::Unpinned { id, name } => {
                self.known(*id)?.pins.retain(|pin| pin != name);
                Ok(())
            }
            Event::Collected { ids } => {
                for id in ids {
                    self.collect(*id)?;
                }
                Ok(())
            }
        }
    }

    fn staged(&mut self, record: &Record) {
        let Event::Staged {
            id,
            number,
            parent,
            tree,
            source,
            documents,
            bytes,
            ..
        } = &record.event
        else {
            return;
        };
        let generation = Generation {
            id: *id,
            number: *number,
            parent: *parent,
            tree: *tree,
            author: record.by.clone(),
            reason: record.why.clone(),
            source: source.clone(),
            created_unix_ms: record.at_unix_ms,
            documents: *documents,
            bytes: *bytes,
            state: State::Staged,
            current: false,
            bad: self.bad.contains_key(tree),
            pins: Vec::new(),
            confirmed_unix_ms: None,
            why: None,
        };
        self.generations.insert(*number, generation);
        self.numbers.insert(*id, *number);
        self.parents.insert(*id, *parent);
        self.next_number = self.next_number.max(number + 1);
    }

    fn salvaged(&mut self, remains: &Remains) {
        for generation in &remains.generations {
            self.numbers.insert(generation.id, generation.number);
            self.parents.insert(generation.id, generation.parent);
            self.generations
                .insert(generation.number, generation.clone());
        }
        self.bad = remains.bad.clone().into_iter().collect();
        self.confirmed.clone_from(&remains.confirmed);
        let current = remains
            .generations
            .iter()
            .find(|generation| generation.current);
        self.current = current.map(|generation| generation.id);
        self.next_number = remains.next_number;
    }

    fn intend(&mut self, id: GenerationId, from: Option<GenerationId>) -> Result<(), String> {
        self.known(id)?;
        if let Some(pending) = &self.pending {
            return Err(format!(
                "{} is on probation while {} begins",
                pending.id.short(),
                id.short()
            ));
        }
        if from != self.current {
            return Err(format!(
                "{} comes from a generation that is not current",
                id.short()
            ));
        }
        Ok(())
    }

    fn confirm(&mut self, id: GenerationId, record: &Record) {
        self.pending = None;
        for generation in self.generations.values_mut() {
            generation.current = generation.id == id;
        }
        self.current = Some(id);
        self.confirmed.retain(|confirmed| *confirmed != id);
        self.confirmed.push(id);
        if let Some(tree) = self.tree(id) {
            self.bad.remove(&tree);
            self.mark_bad();
        }
        self.became(id, State::Confirmed, record);
        if let Ok(generation) = self.known(id) {
            generation.confirmed_unix_ms = Some(record.at_unix_ms);
        }
    }

    fn collect(&mut self, id: GenerationId) -> Result<(), String> {
        self.known(id)?;
        if self.current == Some(id)
            || self
                .pending
                .as_ref()
                .is_some_and(|pending| pending.id == id)
        {
            return Err(format!("{} is collected while it serves", id.short()));
        }
        if let Some(number) = self.numbers.remove(&id) {
            self.generations.remove(&number);
        }
        self.confirmed.retain(|confirmed| *confirmed != id);
        Ok(())
    }

    fn became(&mut self, id: GenerationId, state: State, record: &Record) {
        if let Ok(generation) = self.known(id) {
            generation.state = state;
            generation.why = (!record.why.is_empty()).then(|| record.why.clone());
        }
    }

    fn mark_bad(&mut self) {
        for generation in self.generations.values_mut() {
            generation.bad = self.bad.contains_key(&generation.tree);
        }
    }

    fn known(&mut self, id: GenerationId) -> Result<&mut Generation, String> {
        let number = self.numbers.get(&id);
        let generation = number.and_then(|number| self.generations.get_mut(number));
        generation.ok_or_else(|| format!("there is no generation {}", id.short()))
    }

    fn pending(&mut self, id: GenerationId) -> Result<&mut Pending, String> {
        let pending = self.pending.as_mut().filter(|pending| pending.id == id);
        pending.ok_or_else(|| format!("{} is not on probation", id.short()))
    }

    fn tree(&self, id: GenerationId) -> Option<TreeId> {
        self.generation(id).map(|generation| generation.tree)
    }

    /// A store whose log is damaged goes by the file `current` instead.
    pub(crate) fn set_current(&mut self, id: GenerationId) {
        for generation in self.generations.values_mut() {
            generation.current = generation.id == id;
        }
        self.current = Some(id);
    }

    /// What is to be kept of it, and the manifests that no readable record names.
    pub(crate) fn remains(&self, manifests: &[Manifest]) -> Remains {
        let mut generations: BTreeMap<u64, Generation> = BTreeMap::new();
        let mut next_number = self.next_number;
        let known = manifests.iter().filter_map(|it| self.generation(it.id));
        generations.extend(known.map(|generation| (generation.number, generation.clone())));
        for manifest in manifests {
            next_number = next_number.max(manifest.number + 1);
            // A number was given twice if the first staging was interrupted.
            let generation = generations.entry(manifest.number);
            generation.or_insert_with(|| self.unrecorded(manifest));
        }
        for generation in generations.values_mut() {
            generation.current = self.current == Some(generation.id);
            if generation.current {
                generation.state = State::Confirmed;
            } else if generation.state == State::Pending {
                generation.state = State::Crashed;
            }
        }
        let is_kept = |id: &&GenerationId| generations.values().any(|it| it.id == **id);
        let mut confirmed: Vec<GenerationId> =
            self.confirmed.iter().filter(is_kept).copied().collect();
        confirmed.retain(|id| self.current != Some(*id));
        confirmed.extend(self.current);
        Remains {
            generations: generations.into_values().collect(),
            bad: self.bad.clone().into_iter().collect(),
            confirmed,
            next_number,
        }
    }

    fn unrecorded(&self, manifest: &Manifest) -> Generation {
        Generation {
            id: manifest.id,
            number: manifest.number,
            parent: manifest.parent,
            tree: manifest.tree,
            author: manifest.author.clone(),
            reason: manifest.reason.clone(),
            source: manifest.source.clone(),
            created_unix_ms: manifest.created_unix_ms,
            documents: manifest.documents.len() as u64,
            bytes: manifest.bytes(),
            state: State::Staged,
            current: false,
            bad: self.bad.contains_key(&manifest.tree),
            pins: Vec::new(),
            confirmed_unix_ms: None,
            why: Some("salvaged: what became of it is lost".to_owned()),
        }
    }

    pub(crate) fn tip(&self) -> Tip {
        self.tip
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    pub(crate) fn current(&self) -> Option<GenerationId> {
        self.current
    }

    pub(crate) fn on_probation(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    pub(crate) fn generation(&self, id: GenerationId) -> Option<&Generation> {
        self.generations.get(self.numbers.get(&id)?)
    }

    /// All that are kept, by number.
    pub(crate) fn generations(&self) -> impl DoubleEndedIterator<Item = &Generation> {
        self.generations.values()
    }

    pub(crate) fn numbered(&self, number: u64) -> Option<&Generation> {
        self.generations.get(&number)
    }

    /// Why a tree is known as bad, if it is.
    pub(crate) fn bad(&self, tree: TreeId) -> Option<&str> {
        self.bad.get(&tree).map(String::as_str)
    }

    /// The nearest ancestor of the current generation that is still kept. Ancestors were all current once.
    pub(crate) fn previous(&self) -> Option<&Generation> {
        let mut seen = BTreeSet::new();
        let mut id = (*self.parents.get(&self.current?)?)?;
        while seen.insert(id) {
            if let Some(generation) = self.generation(id) {
                return Some(generation);
            }
            id = (*self.parents.get(&id)?)?;
        }
        None
    }

    /// What a collection keeps: the last `keep` generations, the last `keep` confirmed ones, what is current,
    /// what it is gone back from and to, and what is pinned.
    pub(crate) fn kept(&self, keep: usize) -> BTreeSet<GenerationId> {
        let mut kept: BTreeSet<GenerationId> = BTreeSet::new();
        kept.extend(
            self.generations()
                .rev()
                .take(keep)
                .map(|generation| generation.id),
        );
        kept.extend(self.confirmed.iter().rev().take(keep));
        kept.extend(self.current);
        kept.extend(self.previous().map(|generation| generation.id));
        kept.extend(
            self.pending
                .iter()
                .flat_map(|pending| [Some(pending.id), pending.from])
                .flatten(),
        );
        let pinned = self
            .generations()
            .filter(|generation| !generation.pins.is_empty());
        kept.extend(pinned.map(|generation| generation.id));
        kept
    }
}
