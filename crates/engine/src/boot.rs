//! What a process comes up on.

use std::sync::Arc;

use generations::{Document, End, GenerationId, Note, Proposal, Store, TreeId, View};
use serde::{Deserialize, Serialize};

use crate::api::Terms;
use crate::life::{FOLDER, LEARNED, Life, OBSERVED, Served, unix_ms};
use crate::loader::{Findings, Loaded, Loader};
use crate::refusal::Refusal;

/// Documents that a process is started with.
#[derive(Debug)]
pub struct Candidate {
    /// Where they are from: the folder.
    pub source: String,
    /// All of them.
    pub documents: Vec<Document>,
    /// They can't be read or have errors, which has been told.
    pub broken: Option<Findings>,
    /// What came of loading them, if that has been done.
    pub loaded: Option<Loaded>,
    /// How a change of them is tried.
    pub terms: Terms,
}

/// What a process comes up on.
pub struct Boot {
    pub(crate) served: Served,
    pub(crate) observed: Vec<Document>,
    /// Written as an intent, to be confirmed once it serves.
    pub(crate) first: Option<GenerationId>,
    /// To be proposed once something serves.
    pub(crate) then: Option<Candidate>,
    /// Where the documents that the process was started with are from.
    pub(crate) folder: Option<String>,
    /// What to say about it, for people.
    pub notes: Vec<String>,
    /// What balancers had learned, as [`dispatcher::Inherited`] takes it.
    pub learned: Option<serde_json::Value>,
}

impl Boot {
    /// What to serve.
    pub fn loaded(&self) -> &Loaded {
        &self.served.loaded
    }

    /// Its name in logs and metrics.
    pub fn name(&self) -> String {
        self.first
            .map_or_else(|| self.served.name(), |id| id.short())
    }

    /// What the folder holds now, to be tried if it is new.
    pub fn and_then(&mut self, candidate: Candidate) {
        self.then = Some(candidate);
    }

    /// It could not be served after all, for a reason that is not its own, such as a port that is taken.
    pub fn abandon(self, store: &mut Store, why: &str) {
        if let Some(id) = self.first
            && let Err(error) = store.end(id, End::Interrupted, &Note::new("dalbi", why, unix_ms()))
        {
            tracing::error!(%error, "the end of a generation could not be written down");
        }
    }

    /// Decides what to come up on:
    ///
    /// - with another folder than the process before, or a store without a generation: its documents, confirmed once
    ///   they serve. Whoever starts a process with them has decided;
    /// - with the same folder: the current generation. Documents that have changed meanwhile are then tried like any
    ///   change; those that were proposed before are not again, whatever became of them;
    /// - without documents, or with documents that have errors: the current generation;
    /// - where the current generation can't be loaded: the newest confirmed one that can;
    /// - where none can: the rescue generation, which serves nothing but the admin API.
    ///
    /// # Errors
    /// The documents have errors, and there is no generation of the same folder to serve instead.
    pub fn choose(
        store: &mut Store,
        loader: &dyn Loader,
        candidate: Option<Candidate>,
    ) -> Result<Self, Refusal> {
        let learned = aside(store, LEARNED);
        let learned = learned.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let known = aside(store, OBSERVED).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let known: Vec<Document> = known.unwrap_or_default();
        let mut boot = Self {
            served: Life::rescue(),
            observed: known,
            first: None,
            then: None,
            folder: None,
            notes: Vec::new(),
            learned,
        };
        let Some(mut candidate) = candidate else {
            boot.come_up(store, loader);
            return Ok(boot);
        };
        let folder = Folder::read(store);
        let is_restart = folder.source == candidate.source && store.current().is_some();
        boot.folder = Some(candidate.source.clone());
        if let Some(findings) = candidate.broken.take() {
            if !is_restart {
                return Err(Refusal::Findings(findings));
            }
            let note = "the documents have errors, so the generation before is served";
            boot.notes.push(note.to_owned());
            boot.come_up(store, loader);
            return Ok(boot);
        }
        let (documents, observed) = loader.split(candidate.documents);
        boot.observed = observed;
        let proposal = Proposal {
            parent: store.current(),
            author: author(),
            reason: "the process was started with it".to_owned(),
            source: candidate.source.clone(),
            documents,
            options: Default::default(),
            signature: None,
        };
        if is_restart {
            boot.come_up(store, loader);
            if folder.tree != Some(proposal.tree()) {
                candidate.documents = proposal.documents;
                candidate.documents.extend(boot.observed.iter().cloned());
                boot.then = Some(candidate);
            }
            return Ok(boot);
        }
        let loaded = match candidate.loaded {
            Some(loaded) => Ok(loaded),
            None => loader.load(&candidate.source, &proposal.documents, &boot.observed),
        };
        let loaded = loaded.map_err(Refusal::Findings)?;
        // Whoever starts a process with documents that hurt before wants them again.
        let manifest = store.stage(&proposal, true, unix_ms())?;
        if store.current() != Some(manifest.id) {
            let note = Note::new("dalbi", &proposal.reason, unix_ms());
            store.intend(manifest.id, unix_ms(), &note)?;
            boot.first = Some(manifest.id);
        }
        boot.served = Served {
            id: store.current(),
            loaded,
            joined: 0,
        };
        Ok(boot)
    }

    /// The current generation, or the newest before it that can be loaded.
    fn come_up(&mut self, store: &Store, loader: &dyn Loader) {
        let mut candidates: Vec<_> = store.current().into_iter().collect();
        let confirmed = store
            .list()
            .into_iter()
            .filter(|generation| generation.confirmed_unix_ms.is_some());
        let mut confirmed: Vec<_> = confirmed.collect();
        confirmed.sort_by_key(|generation| std::cmp::Reverse(generation.confirmed_unix_ms));
        candidates.extend(confirmed.iter().map(|generation| generation.id));
        candidates.dedup();
        for id in candidates {
            let loaded = store
                .manifest(id)
                .map_err(Refusal::from)
                .and_then(|manifest| {
                    let documents = store.documents(id)?;
                    let loaded = loader.load(&manifest.source, &documents, &self.observed);
                    loaded.map_err(Refusal::Findings)
                });
            match loaded {
                Ok(loaded) => {
                    self.served = Served {
                        id: Some(id),
                        loaded,
                        joined: 0,
                    };
                    return;
                }
                Err(refusal) => self.notes.push(format!(
                    "generation {} can't be served: {refusal}",
                    id.short()
                )),
            }
        }
        self.notes.push("no generation can be served: the rescue generation has no listener but the admin server, which takes `dalbi apply`".to_owned());
    }

    /// What another process serves, to go on with it.
    ///
    /// # Errors
    /// Says what can't be read or loaded.
    pub fn go_on(
        view: &View,
        loader: &dyn Loader,
        serving: Option<GenerationId>,
    ) -> Result<Self, Refusal> {
        let observed = view
            .aside(OBSERVED)?
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let observed: Vec<Document> = observed.unwrap_or_default();
        let served = match serving {
            None => Life::rescue(),
            Some(id) => {
                let manifest = view.manifest(id)?;
                let documents = view.documents(id)?;
                let loaded = loader.load(&manifest.source, &documents, &observed);
                Served {
                    id: Some(id),
                    loaded: loaded.map_err(Refusal::Findings)?,
                    joined: 0,
                }
            }
        };
        Ok(Self {
            served,
            observed,
            first: None,
            then: None,
            folder: None,
            notes: Vec::new(),
            learned: None,
        })
    }

    /// An empty mesh, for when not even the store can be used.
    pub fn rescue() -> Loaded {
        Loaded {
            mesh: Arc::default(),
            ..Life::rescue().loaded
        }
    }
}

/// The folder that a process was started with, as the next one finds it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Folder {
    pub(crate) source: String,
    /// What it held when it was last proposed; `None` if that has to be proposed again.
    pub(crate) tree: Option<TreeId>,
}

impl Folder {
    pub(crate) fn read(store: &Store) -> Self {
        let bytes = aside(store, FOLDER).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }
}

fn aside(store: &Store, name: &str) -> Option<Vec<u8>> {
    match store.aside(name) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(%error, name, "left aside");
            None
        }
    }
}

/// Who a process works for when nobody says: its user.
pub fn author() -> String {
    std::env::var("SUDO_USER")
        .or_else(|_| std::env::var("USER"))
        .unwrap_or_else(|_| "unknown".to_owned())
}
