//! What a store should be, as simply as it can be said, and steps that change both.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::happy::{options, proposal};
use crate::disk::simulated::Machine;
use crate::store::open::open;
use crate::*;

/// One thing that somebody does with a store.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// The process ends in good order, and another starts.
    Reopen,
    /// A proposal of these texts for what is current.
    Stage(Vec<String>),
    /// Of the generation at this place among those that are kept; the largest number means the last.
    Intend(usize),
    Extend,
    Confirm,
    End(End),
    Pin(usize, String),
    Unpin(usize, String),
    Gc(usize),
    Aside(Vec<u8>),
}

/// A generation as the model knows it.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    id: GenerationId,
    texts: Vec<String>,
    state: State,
    pins: BTreeSet<String>,
}

/// A store without a disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    kept: BTreeMap<u64, Kept>,
    parents: HashMap<GenerationId, Option<GenerationId>>,
    /// In the order of their last confirmation.
    confirmed: Vec<GenerationId>,
    bad: BTreeSet<Vec<String>>,
    current: Option<GenerationId>,
    pending: Option<GenerationId>,
    aside: Option<Vec<u8>>,
    staged: u64,
    /// Of the steps; it runs backwards now and then.
    now: u64,
}

impl Model {
    /// What the step leads to, `None` if it is refused.
    pub(super) fn after(&self, step: &Step) -> Option<Self> {
        let mut next = self.clone();
        next.now = clock(self.now);
        match step {
            Step::Reopen => next.crash(),
            Step::Stage(texts) => next.stage(texts)?,
            Step::Intend(place) => {
                let id = self.at(*place)?;
                if self.pending.is_some() {
                    return None;
                }
                next.pending = Some(id);
                next.of(id).state = State::Pending;
            }
            Step::Extend => drop(self.pending?),
            Step::Confirm => {
                let id = next.pending.take()?;
                next.current = Some(id);
                next.confirmed.retain(|confirmed| *confirmed != id);
                next.confirmed.push(id);
                next.of(id).state = State::Confirmed;
                let texts = next.of(id).texts.clone();
                next.bad.remove(&texts);
            }
            Step::End(end) => {
                self.pending?;
                next.end(*end);
            }
            Step::Pin(place, name) => drop(next.of(self.at(*place)?).pins.insert(name.clone())),
            Step::Unpin(place, name) => drop(next.of(self.at(*place)?).pins.remove(name)),
            Step::Gc(keep) => next.gc(*keep),
            Step::Aside(bytes) => next.aside = Some(bytes.clone()),
        }
        Some(next)
    }

    /// The same after a restart: an open probation has ended.
    pub(super) fn restarted(&self) -> Self {
        let mut next = self.clone();
        next.crash();
        next
    }

    fn crash(&mut self) {
        if self.pending.is_some() {
            self.end(End::Crashed);
        }
    }

    fn end(&mut self, end: End) {
        let id = self.pending.take().unwrap();
        self.of(id).state = State::from(end);
        if matches!(end, End::RolledBack | End::Crashed) {
            let texts = self.of(id).texts.clone();
            if self
                .current
                .is_none_or(|current| self.of(current).texts != texts)
            {
                self.bad.insert(texts);
            }
        }
    }

    fn stage(&mut self, texts: &[String]) -> Option<()> {
        if self.bad.contains(texts) {
            return None;
        }
        self.staged += 1;
        let texts = texts.to_vec();
        let proposal = proposal_of(self.current, &texts);
        let id = Manifest::new(&proposal, self.staged, self.now).0.id;
        self.parents.insert(id, self.current);
        let (state, pins) = (State::Staged, BTreeSet::new());
        let kept = Kept {
            id,
            texts,
            state,
            pins,
        };
        self.kept.insert(self.staged, kept);
        Some(())
    }

    fn gc(&mut self, keep: usize) {
        let last = self.kept.values().rev().take(keep).map(|kept| kept.id);
        let mut wanted: BTreeSet<GenerationId> = last.collect();
        wanted.extend(self.confirmed.iter().rev().take(keep));
        wanted.extend(self.current);
        wanted.extend(self.pending);
        let mut ancestor = self.current.and_then(|id| self.parents[&id]);
        while let Some(id) = ancestor {
            if self.kept.values().any(|kept| kept.id == id) {
                wanted.insert(id);
                break;
            }
            ancestor = self.parents[&id];
        }
        self.kept
            .retain(|_, kept| wanted.contains(&kept.id) || !kept.pins.is_empty());
        let kept: BTreeSet<GenerationId> = self.kept.values().map(|kept| kept.id).collect();
        self.confirmed.retain(|id| kept.contains(id));
    }

    fn at(&self, place: usize) -> Option<GenerationId> {
        let kept = match place {
            usize::MAX => self.kept.values().next_back(),
            _ => self.kept.values().nth(place % self.kept.len().max(1)),
        };
        kept.map(|kept| kept.id)
    }

    fn of(&mut self, id: GenerationId) -> &mut Kept {
        self.kept.values_mut().find(|kept| kept.id == id).unwrap()
    }

    /// Whether the store is as it should be, down to every byte that can be asked for, and nothing is damaged.
    pub(super) fn check(&self, view: &View) -> Result<(), String> {
        self.check_state(view)?;
        let report = view.verify(&[], false).map_err(|error| error.to_string())?;
        if report.is_clean() {
            Ok(())
        } else {
            Err(format!("{:?}", report.findings))
        }
    }

    /// Whether what can be asked for is as it should be.
    pub(super) fn check_state(&self, view: &View) -> Result<(), String> {
        let expect = |what: &str, found: String, expected: String| {
            if found == expected {
                return Ok(());
            }
            Err(format!("{what} is {found}, and should be {expected}"))
        };
        let found = format!("{:?} {:?}", view.current(), view.pending().map(|it| it.id));
        let expected = format!("{:?} {:?}", self.current, self.pending);
        expect("current and pending", found, expected)?;
        let found: Vec<u64> = view.list().iter().map(|it| it.number).collect();
        let expected: Vec<u64> = self.kept.keys().copied().collect();
        expect("the list", format!("{found:?}"), format!("{expected:?}"))?;
        for (generation, kept) in view.list().iter().zip(self.kept.values()) {
            let found = (
                generation.id,
                generation.state,
                generation.bad,
                generation.current,
            );
            let is_bad = self.bad.contains(&kept.texts);
            let expected = (kept.id, kept.state, is_bad, self.current == Some(kept.id));
            expect(
                "a generation",
                format!("{found:?}"),
                format!("{expected:?}"),
            )?;
            let pins: Vec<&String> = kept.pins.iter().collect();
            expect(
                "its pins",
                format!("{:?}", generation.pins),
                format!("{pins:?}"),
            )?;
            let documents = view.documents(kept.id).map_err(|error| error.to_string())?;
            let texts: Vec<String> = documents.into_iter().map(|it| it.text).collect();
            expect(
                "its documents",
                format!("{texts:?}"),
                format!("{:?}", kept.texts),
            )?;
        }
        let aside = view.aside("learned").map_err(|error| error.to_string())?;
        expect(
            "what is aside",
            format!("{aside:?}"),
            format!("{:?}", self.aside),
        )
    }
}

/// A clock that is set back now and then.
fn clock(now: u64) -> u64 {
    if now % 5 == 4 {
        now.saturating_sub(3_600_000) + 7
    } else {
        now + 1
    }
}

fn proposal_of(parent: Option<GenerationId>, texts: &[String]) -> Proposal {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    proposal(parent, &texts)
}

/// A store on a machine, beside the model of what was acknowledged.
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) store: Option<Store>,
    pub(super) model: Model,
}

/// What a step did.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Done,
    /// The model refuses it, and so did the store.
    Refused,
    /// The disk failed it.
    Failed(String),
}

impl World {
    /// Opens a store on the machine.
    pub(super) fn open(machine: &Machine) -> Result<Self, StoreError> {
        let model = Model::default();
        let (store, _) = open(machine.start(), options(1))?;
        Ok(Self {
            machine: machine.clone(),
            store: Some(store),
            model,
        })
    }

    /// A machine on which no store could be opened.
    pub(super) fn nothing(machine: &Machine) -> Self {
        Self {
            machine: machine.clone(),
            store: None,
            model: Model::default(),
        }
    }

    /// Does the step on both, and takes in what was acknowledged. Panics where they differ.
    pub(super) fn step(&mut self, step: &Step) -> Outcome {
        let next = self.model.after(step);
        let result = self.attempt(step);
        match (result, next) {
            (Ok(()), Some(next)) => {
                self.model = next;
                Outcome::Done
            }
            (Err(_), None) => Outcome::Refused,
            (Err(error), Some(_)) => Outcome::Failed(error),
            (Ok(()), None) => panic!("{step:?} should be refused"),
        }
    }

    fn attempt(&mut self, step: &Step) -> Result<(), String> {
        let now = clock(self.model.now);
        let note = Note::new("ann", "a step", now);
        let at = |place: &usize| self.model.at(*place).ok_or("nothing is kept".to_owned());
        if let Step::Reopen = step {
            self.store = None;
            let opened = open(self.machine.start(), options(now));
            self.store = Some(opened.map_err(|error| error.to_string())?.0);
            return Ok(());
        }
        let store = self.store.as_mut().ok_or("no process runs")?;
        let pending = self.model.pending.ok_or("nothing is on probation");
        let result = match step {
            Step::Reopen => Ok(()),
            Step::Stage(texts) => {
                let proposal = proposal_of(self.model.current, texts);
                let staged = store.stage(&proposal, false, now);
                return staged.map(drop).map_err(|error| error.to_string());
            }
            Step::Intend(place) => store.intend(at(place)?, now + 60_000, &note),
            Step::Extend => store.extend(pending?, now + 90_000, &note),
            Step::Confirm => store.confirm(pending?, &note),
            Step::End(end) => store.end(pending?, *end, &note),
            Step::Pin(place, name) => store.pin(at(place)?, name, &note),
            Step::Unpin(place, name) => store.unpin(at(place)?, name, &note).map(drop),
            Step::Gc(keep) => store.gc(*keep, &note).map(drop),
            Step::Aside(bytes) => store.put_aside("learned", bytes),
        };
        result.map_err(|error| error.to_string())
    }

    /// After the processes ended: opens the store again, which must be as acknowledged, or as `in_flight` would
    /// have made it; then serves another generation, and collects.
    pub(super) fn recover(&mut self, in_flight: Option<&Step>) {
        self.store = None;
        let acknowledged = self.model.restarted();
        let done = in_flight.and_then(|step| self.model.after(step));
        let done = done.map(|model| model.restarted());
        let (store, _) = open(self.machine.start(), options(1)).unwrap();
        let as_before = acknowledged.check(&store);
        self.model = match (as_before, done) {
            (Ok(()), _) => acknowledged,
            (Err(before), Some(done)) => match done.check(&store) {
                Ok(()) => done,
                Err(after) => panic!("neither as before: {before}\nnor as after: {after}"),
            },
            (Err(before), None) => panic!("not as it was acknowledged: {before}"),
        };
        let again = View::on(self.machine.start()).unwrap();
        assert_eq!(again.list(), store.list());
        self.store = Some(store);
        // What was interrupted is done again, on what it left.
        let texts = match in_flight {
            Some(Step::Stage(texts)) if !self.model.bad.contains(texts) => texts.clone(),
            _ => vec![
                format!("after {}", self.model.staged),
                "the same".to_owned(),
            ],
        };
        for step in [
            Step::Aside(texts.concat().into_bytes()),
            Step::Stage(texts),
            Step::Intend(usize::MAX),
            Step::Confirm,
            Step::Gc(1000),
        ] {
            assert_eq!(self.step(&step), Outcome::Done, "{step:?}");
        }
        let store = self.store.as_ref().unwrap();
        self.model.check(store).unwrap();
        assert_eq!(store.verify(&[], false).unwrap().orphans, 0);
    }
}

/// Every operation, in an order that lets each matter.
pub(super) fn script() -> Vec<Step> {
    let texts = |texts: &[&str]| Step::Stage(texts.iter().map(|&text| text.to_owned()).collect());
    vec![
        texts(&["a", "the same"]),
        Step::Intend(0),
        Step::Confirm,
        texts(&["b", "the same"]),
        Step::Pin(0, "first".to_owned()),
        Step::Intend(1),
        Step::Extend,
        Step::Confirm,
        Step::Aside(b"learned".to_vec()),
        texts(&["bad", "the same"]),
        Step::Intend(2),
        Step::End(End::RolledBack),
        Step::Aside(b"learned more".to_vec()),
        Step::Intend(0),
        Step::Confirm,
        Step::Unpin(0, "first".to_owned()),
        Step::Reopen,
        texts(&["c", "b"]),
        Step::Gc(1),
        Step::Intend(1),
        Step::End(End::Cancelled),
    ]
}

/// A step of any sort.
pub(super) fn random_step(random: &mut fastrand::Rng) -> Step {
    let text = |random: &mut fastrand::Rng| "text".repeat(random.usize(0..60));
    match random.u8(0..24) {
        0 => Step::Reopen,
        1..=6 => Step::Stage((0..random.usize(0..4)).map(|_| text(random)).collect()),
        7..=10 => Step::Intend(random.usize(0..20)),
        11 => Step::Extend,
        12..=15 => Step::Confirm,
        16 => Step::End(End::RolledBack),
        17 => Step::End(End::Superseded),
        18 => Step::Pin(random.usize(0..20), "p".repeat(random.usize(1..3))),
        19 => Step::Unpin(random.usize(0..20), "p".repeat(random.usize(1..3))),
        20..=21 => Step::Gc(random.usize(0..4)),
        _ => Step::Aside(text(random).into_bytes()),
    }
}
