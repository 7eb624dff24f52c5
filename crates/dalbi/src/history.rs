//! The generations that there were, for people: read from the process that serves or, without one, from its state
//! directory.

mod evidence;
mod record;
mod show;
mod table;
mod when;

use std::path::PathBuf;

use engine::api::{Overview, Progress, Shown};
use generations::{Document, Generation, GenerationId, Record, View};
use serde::{Deserialize, Serialize};

pub(crate) use evidence::{Evidences, judgement};
pub(crate) use record::write as write_log;
pub(crate) use show::write as write_shown;
pub(crate) use table::write as write_table;
pub(crate) use when::utc;

use crate::admin_client::{AdminClient, AdminError, AdminOptions};

/// Where generations are read from.
#[derive(Debug)]
pub(crate) enum History {
    /// The process that serves.
    Process(AdminClient),
    /// Its state directory, as it was when it was opened.
    Folder(Box<View>),
}

/// What a verification found; [`generations::Report`], which goes over the wire in one direction only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Verified {
    pub(crate) findings: Vec<Finding>,
    pub(crate) records: u64,
    pub(crate) generations: u64,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    pub(crate) orphans: u64,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) file: PathBuf,
    pub(crate) what: String,
    pub(crate) todo: String,
}

impl History {
    /// The process that was named or has the state directory, if it answers; else the directory.
    ///
    /// # Errors
    /// The process that was named does not answer, or there is no store.
    pub(crate) async fn open(options: &AdminOptions) -> anyhow::Result<Self> {
        if let Some(client) = options.client_if_any()? {
            match client
                .get::<serde_json::Value>("/generations/pending")
                .await
            {
                Ok(_) => return Ok(Self::Process(client)),
                Err(error) if options.is_named() => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "reading the state directory instead"),
            }
        }
        Ok(Self::Folder(Box::new(View::open(&options.state()?)?)))
    }

    /// All that are kept, newest first, and what is served.
    pub(crate) async fn overview(&self) -> anyhow::Result<Overview> {
        let view = match self {
            Self::Process(client) => return Ok(client.get("/generations").await?),
            Self::Folder(view) => view,
        };
        let mut generations = view.list();
        generations.reverse();
        Ok(Overview {
            current: view.current().map(|id| id.to_string()),
            serving: "nothing".to_owned(),
            pending: None,
            generations,
        })
    }

    /// The generation that a name means, and how it fares.
    pub(crate) async fn find(&self, name: &str) -> anyhow::Result<Shown> {
        match self {
            Self::Process(client) => Ok(find(client, name).await?),
            Self::Folder(view) => Ok(Shown {
                generation: view.find(name)?.clone(),
                pending: None,
            }),
        }
    }

    /// A generation's documents, by path.
    pub(crate) async fn documents(&self, id: GenerationId) -> anyhow::Result<Vec<Document>> {
        match self {
            Self::Process(client) => {
                Ok(client.get(&format!("/generations/{id}/documents")).await?)
            }
            Self::Folder(view) => Ok(view.documents(id)?),
        }
    }

    /// Everything that happened, oldest first.
    pub(crate) async fn log(&self) -> anyhow::Result<Vec<Record>> {
        match self {
            Self::Process(client) => Ok(client.get("/generations/log").await?),
            Self::Folder(view) => Ok(view.log()?),
        }
    }

    /// Compares everything with its hashes.
    pub(crate) async fn verify(&self) -> anyhow::Result<Verified> {
        match self {
            Self::Process(client) => Ok(client.get("/generations/verify").await?),
            Self::Folder(view) => {
                let report = serde_json::to_value(view.verify(&[], false)?)?;
                Ok(serde_json::from_value(report)?)
            }
        }
    }
}

/// The generation that a process knows by this name.
pub(crate) async fn find(client: &AdminClient, name: &str) -> Result<Shown, AdminError> {
    if name != "pending" {
        return client.get(&path_of(name, "")).await;
    }
    // That path has the figures alone.
    let pending: Option<Progress> = client.get("/generations/pending").await?;
    let pending = pending.ok_or(AdminError::NothingPending)?;
    client.get(&path_of(&pending.id, "")).await
}

/// The path of a generation, as a person names it, with what is below it.
pub(crate) fn path_of(name: &str, below: &str) -> String {
    // `#7` means 7; nothing else that a path can't hold is in a name.
    let name = name.strip_prefix('#').unwrap_or(name);
    let plain = |character: &char| character.is_ascii_alphanumeric();
    let name: String = name
        .chars()
        .map(|c| if plain(&c) { c } else { '-' })
        .collect();
    format!("/generations/{name}{below}")
}

/// `4 (0123456789ab)`, as a generation is called in sentences.
pub(crate) fn name_of(generation: &Generation) -> String {
    format!("{} ({})", generation.number, generation.id.short())
}

#[cfg(test)]
pub(crate) mod samples {
    use generations::{Generation, GenerationId, State, TreeId};

    /// The `number`th generation, in this state.
    pub(crate) fn generation(number: u64, state: State) -> Generation {
        let byte = u8::try_from(number).unwrap();
        Generation {
            id: GenerationId::from_bytes([byte; 32]),
            number,
            parent: (number > 1).then(|| GenerationId::from_bytes([byte - 1; 32])),
            tree: TreeId::from_bytes([byte; 32]),
            author: "ann".to_owned(),
            reason: "a tenth to the canary".to_owned(),
            source: "/srv/mesh".to_owned(),
            created_unix_ms: 1_795_234_705_000 + number * 60_000,
            documents: 3,
            bytes: 2_048,
            state,
            current: false,
            bad: false,
            pins: Vec::new(),
            confirmed_unix_ms: None,
            why: None,
        }
    }
}
