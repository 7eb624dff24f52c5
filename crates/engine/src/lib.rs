//! The control plane of one process: takes configurations as generations, watches each one that is new, confirms it or
//! goes back by itself; answers the admin API; hands the work over to a new process without losing a request.
//!
//! What it refuses to do: know what documents mean ([`Loader`] does), keep history ([`generations`]), judge figures
//! ([`probation`]) or serve requests ([`dispatcher`]). It brings them together.

pub mod admin;
pub mod api;
mod boot;
mod evidence;
mod life;
mod loader;
mod refusal;
mod secret;
pub mod upgrade;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use dispatcher::Dispatcher;
use generations::{Document, OpenOptions, Store};

pub use boot::{Boot, Candidate, author};
use life::{Beginning, Job, Life};
pub use life::{Parent, unix_ms};
pub use loader::{Findings, Loaded, Loader};
pub use refusal::Refusal;
pub use secret::token;

use crate::api::{Accepted, Progress};

/// A running control plane.
pub struct Engine {
    handle: Handle,
    thread: JoinHandle<Life>,
}

/// Asks an engine to do something; as many as are wanted.
#[derive(Debug, Clone)]
pub struct Handle {
    jobs: Sender<Job>,
    progress: Arc<Mutex<Option<Progress>>>,
    state: PathBuf,
}

/// How many of the newest generations a collection leaves, by default: enough for a week of pushes at ten a day.
pub const DEFAULT_KEEP: usize = 64;

impl Engine {
    /// Takes over a dispatcher that serves what `boot` chose.
    ///
    /// # Errors
    /// The generation that the process was started with can't be confirmed.
    pub fn start(
        store: Store,
        opening: OpenOptions,
        dispatcher: Arc<Dispatcher>,
        loader: Box<dyn Loader>,
        boot: Boot,
    ) -> Result<Self, Refusal> {
        let progress = Arc::<Mutex<_>>::default();
        let state = store.path();
        dispatcher.set_objects(boot.loaded().objects.clone());
        let mut life = Life::new(Beginning {
            store,
            opening,
            dispatcher,
            loader,
            observed: boot.observed,
            served: boot.served,
            keep: DEFAULT_KEEP,
            progress: progress.clone(),
        });
        life.write_observed();
        if let Some(first) = boot.first {
            life.confirm_first(first, boot.folder.unwrap_or_default())?;
        }
        let (jobs, queue) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || life.run(&queue))
            .map_err(|error| Refusal::Impossible(format!("start a thread: {error}")))?;
        let engine = Self {
            handle: Handle {
                jobs,
                progress,
                state,
            },
            thread,
        };
        if let Some(candidate) = boot.then {
            engine.handle.propose_in_background(candidate);
        }
        Ok(engine)
    }

    /// To ask it with.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends it: a generation that is being tried ends without a verdict. Gives the store back, unless another process
    /// has it; its lock is held for as long.
    pub fn stop(self) -> Option<Store> {
        self.handle.send(|life| life.end());
        self.thread.join().ok()?.into_store()
    }
}

impl Handle {
    /// The state directory.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// What is being tried, as of the last tick.
    pub fn progress(&self) -> Option<Progress> {
        self.progress.lock().expect("no panic holds it").clone()
    }

    /// Serves by documents that a watched folder has now. Whatever is being tried makes room for them.
    ///
    /// # Errors
    /// Says why they are not served; what was served is served on.
    pub async fn propose(&self, candidate: Candidate) -> Result<Accepted, Refusal> {
        self.ask(|life| life.take(candidate)).await
    }

    fn propose_in_background(&self, candidate: Candidate) {
        // A refusal is told by whoever takes it.
        self.send(move |life| drop(life.take(candidate)));
    }

    /// Loads again what serves, with whatever files it names.
    ///
    /// # Errors
    /// Says why it is not served anew; what was served is served on.
    pub async fn reload(&self) -> Result<(), Refusal> {
        self.ask(Life::join_observed).await
    }

    /// Takes what changes by itself: endpoints.
    ///
    /// # Errors
    /// Says why it is not served.
    pub async fn observe(&self, observed: Vec<Document>) -> Result<(), Refusal> {
        self.ask(|life| life.observe(observed)).await
    }

    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Life) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.send(move |life| {
            // Whoever asked may have gone away; the work is done all the same.
            tell.send(work(life)).ok();
        });
        told.await.unwrap_or(Err(Refusal::Ending))
    }

    /// [`Self::ask`] for a thread that may block.
    pub(crate) fn ask_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Life) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.send(move |life| {
            tell.send(work(life)).ok();
        });
        told.blocking_recv().unwrap_or(Err(Refusal::Ending))
    }

    fn send(&self, work: impl FnOnce(&mut Life) + Send + 'static) {
        // An engine that has ended answers nobody.
        self.jobs.send(Box::new(work)).ok();
    }
}
