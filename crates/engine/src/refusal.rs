//! Why something that was asked for is not done.

use generations::{GenerationId, StageError, StoreError};

/// Why something that was asked for is not done. What was served is served on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Somebody else was faster.
    #[error(
        "it was made for {} as its parent, but {} is current; look at what changed (`dalbi generations diff`) and apply again",
        shown(.expected), shown(.current)
    )]
    Stale {
        /// What it was to follow.
        expected: Option<GenerationId>,
        /// What is current.
        current: Option<GenerationId>,
    },
    /// One is being tried already.
    #[error("generation {} is being tried; wait for it, `dalbi generations cancel` it, or apply with --supersede", .0.short())]
    Pending(GenerationId),
    /// None is being tried.
    #[error("no generation is being tried; `dalbi generations list` shows what there is")]
    NotPending,
    /// The documents can't be served.
    #[error("{}", .0.text)]
    Findings(Findings),
    /// They hurt before.
    #[error("the same documents were taken back before: {0}; change them, or apply with --force")]
    Bad(String),
    /// A signature is missing or not trusted.
    #[error("{0}")]
    Unsigned(String),
    /// What was asked for is not possible.
    #[error("{0}")]
    Impossible(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The dispatcher did not take it: a port, a certificate.
    #[error(transparent)]
    Serve(#[from] dispatcher::ApplyError),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new process did not get ready; the old one goes on.
    #[error("{0}; the old process goes on")]
    Upgrade(String),
    /// The process is ending.
    #[error("the process is ending")]
    Ending,
}

/// What is wrong with documents.
#[derive(Debug, Clone)]
pub struct Findings {
    /// For the log and for people.
    pub text: String,
    /// For programs, as `dalbi check --json` has them.
    pub list: serde_json::Value,
}

impl Findings {
    /// Of a text alone.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            list: serde_json::Value::from(text.clone()),
            text,
        }
    }
}

impl Refusal {
    /// The HTTP status that says it (RFC 9110 section 15, RFC 4918 for 422 and 507).
    pub fn status(&self) -> u16 {
        match self {
            Self::Stale { .. } => 412,
            Self::Pending(_) | Self::NotPending | Self::Bad(_) => 409,
            Self::Findings(_) | Self::Serve(_) => 422,
            Self::Unsigned(_) => 403,
            Self::Impossible(_) => 400,
            Self::NotFound(_) => 404,
            Self::Store(_) => 507,
            Self::Upgrade(_) => 500,
            Self::Ending => 503,
        }
    }
}

impl From<StageError> for Refusal {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Stale { expected, current } => Self::Stale { expected, current },
            StageError::Bad { why, .. } => Self::Bad(why),
            StageError::Store(error) => Self::Store(error),
            StageError::Unsigned | StageError::Untrusted(_) | StageError::Forged(_) => {
                Self::Unsigned(error.to_string())
            }
            other => Self::Impossible(other.to_string()),
        }
    }
}

fn shown(id: &Option<GenerationId>) -> String {
    id.map_or_else(|| "nothing".to_owned(), |id| id.short())
}
