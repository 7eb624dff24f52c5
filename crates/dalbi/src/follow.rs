//! Follows a generation that was just taken until it is known what became of it.

mod outcome;
mod remote;
mod screen;

use std::time::Duration;

use engine::api::{Accepted, Progress, Shown};
use generations::{State, View};
use tokio::time::Instant;

pub(crate) use outcome::{Ending, Outcome};
pub(crate) use remote::Remote;
pub(crate) use screen::Screen;

use crate::admin_client::{AdminClient, AdminError, AdminOptions};
use crate::history;
use crate::signals::Signals;

/// Between two looks: often enough that a line on a terminal lives.
const LOOK: Duration = Duration::from_millis(250);

/// How long a process may be silent, as while another takes over from it, before it is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks at a generation until it is known what became of it, or until SIGINT or SIGTERM.
pub(crate) struct Follower<'a> {
    options: &'a AdminOptions,
    client: AdminClient,
    accepted: &'a Accepted,
    last: Option<Progress>,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(
        options: &'a AdminOptions,
        client: AdminClient,
        accepted: &'a Accepted,
    ) -> Self {
        Self {
            options,
            client,
            accepted,
            last: None,
        }
    }

    /// What is known now: for whoever does not wait.
    pub(crate) async fn look(mut self) -> anyhow::Result<Ending> {
        let ending = match self.step().await? {
            Some(outcome) => outcome,
            None => Outcome::Left,
        };
        Ok(self.ending(ending))
    }

    /// Waits, showing how it goes. With `remote`, comes through the generation's own listener meanwhile.
    ///
    /// # Errors
    /// The process is silent for too long.
    pub(crate) async fn wait(
        mut self,
        remote: Option<Remote>,
        screen: &mut Screen,
    ) -> anyhow::Result<Ending> {
        let mut signals = Signals::stop_only()?;
        let coming = async {
            if let Some(remote) = &remote {
                remote.come().await;
            }
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = self.watch(screen) => outcome,
            () = coming => unreachable!("it never ends"),
            () = signals.stopped() => Ok(Outcome::Left),
        };
        screen.clear()?;
        let mut ending = self.ending(outcome?);
        ending.remote_trouble = remote.and_then(|remote| remote.trouble());
        Ok(ending)
    }

    async fn watch(&mut self, screen: &mut Screen) -> anyhow::Result<Outcome> {
        let mut heard = Instant::now();
        loop {
            match self.step().await {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => {
                    heard = Instant::now();
                    if let Some(progress) = &self.last {
                        screen.show(progress)?;
                    }
                }
                Err(error) if !error.may_pass() => return Err(error.into()),
                Err(error) if heard.elapsed() >= PATIENCE => {
                    return self.told_by_folder().ok_or_else(|| self.lost(error));
                }
                // Whoever goes on with its work may be asked elsewhere.
                Err(_) => {
                    if let Some(client) = self.options.client_if_any()? {
                        self.client = client;
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn step(&mut self) -> Result<Option<Outcome>, AdminError> {
        let shown: Shown = history::find(&self.client, &self.accepted.id).await?;
        if shown.pending.is_some() {
            self.last = shown.pending;
        }
        let generation = shown.generation;
        Ok(match generation.state {
            State::Confirmed if generation.current => Some(Outcome::Confirmed),
            // Another was confirmed since, or it is only just being taken in.
            State::Confirmed => Some(Outcome::TakenBack {
                state: State::Superseded,
                why: "another generation is current by now".to_owned(),
            }),
            State::Staged | State::Pending => self
                .last
                .as_ref()
                .filter(|progress| progress.held)
                .map(|_| Outcome::Held),
            state => Some(Outcome::TakenBack {
                state,
                why: generation.why.unwrap_or_default(),
            }),
        })
    }

    /// What the state directory says, once the process has ended.
    fn told_by_folder(&self) -> Option<Outcome> {
        if self.options.is_named() {
            return None;
        }
        let view = View::open(&self.options.state().ok()?).ok()?;
        let generation = view.find(&self.accepted.id).ok()?;
        match generation.state {
            State::Confirmed => Some(Outcome::Confirmed),
            State::Staged => None,
            State::Pending => Some(Outcome::TakenBack {
                state: State::Crashed,
                why: "the process that tried it is gone; the next start comes up on what was confirmed"
                    .to_owned(),
            }),
            state => Some(Outcome::TakenBack {
                state,
                why: generation.why.clone().unwrap_or_default(),
            }),
        }
    }

    fn lost(&self, error: AdminError) -> anyhow::Error {
        let number = self.accepted.number;
        anyhow::Error::new(error).context(format!(
            "lost touch with the process while generation {number} was being tried; `dalbi generations show \
             {number}` says what became of it"
        ))
    }

    fn ending(&self, outcome: Outcome) -> Ending {
        Ending {
            outcome,
            id: self.accepted.id.clone(),
            number: self.accepted.number,
            from: self.accepted.from.clone(),
            progress: self.last.clone(),
            remote_trouble: None,
        }
    }
}
