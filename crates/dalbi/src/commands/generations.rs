//! `dalbi generations`

mod change;
mod diff;
mod offline;
mod read;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{LoadOptions, Output};
use crate::admin_client::AdminOptions;
use crate::cli::Verdict;
use crate::history::History;

const EXAMPLES: &str = "\
Examples:
  dalbi generations list
  dalbi generations show pending
  dalbi generations diff                        what the last change did to requests
  dalbi generations rollback --reason 'carts are slow'
  dalbi generations activate 41 --canary 10%    back to an older one, tried like a new one
  dalbi generations log --json
  dalbi generations salvage                     the log is damaged, and there is no backup

A generation is named by its number, the beginning of its id (4 digits at least), `current`, `previous` or `pending`.

Reading needs no running process. activate, rollback, pin, unpin and gc work without one, too; what they change is \
then served from the next start on.

Exit code 0: all went well; 1: verify found damage; 2: usage; 3: something failed; of activate and rollback with \
--probation or --canary also 4: taken back, and 5: held.";

/// `dalbi generations`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    common: Common,
}

/// What every action has.
#[derive(Debug, Args)]
struct Common {
    /// Write one JSON value to standard output
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    admin: AdminOptions,
}

impl Common {
    fn output(&self) -> Output {
        if self.json {
            Output::Json
        } else {
            Output::Text
        }
    }
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All that are kept, newest first
    List {
        /// How many to show
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// One of them: documents, evidence, and why it ended
    Show {
        /// Which
        #[arg(value_name = "GENERATION", default_value = "current")]
        generation: String,
    },
    /// What changes for requests from one to another
    Diff {
        /// The one as it is
        #[arg(value_name = "BEFORE", default_value = "previous")]
        before: String,
        /// The one as it is to be
        #[arg(value_name = "AFTER", default_value = "current")]
        after: String,
        #[command(flatten)]
        load: LoadOptions,
    },
    /// Everything that happened, oldest first
    Log {
        /// How many of the newest records to show [default: all]
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Compare everything with its hashes
    Verify,
    /// Begin a new log with what can be read of a damaged one, which is kept beside it. No process may run
    Salvage,
    /// Serve by an older one; confirmed at once unless it is to be tried
    Activate {
        /// Which
        #[arg(value_name = "GENERATION")]
        generation: String,
        #[command(flatten)]
        activation: change::Activation,
    },
    /// Go back: from what is being tried, or else to what was confirmed before
    Rollback {
        #[command(flatten)]
        activation: change::Activation,
    },
    /// Keep what is being tried, without waiting for evidence
    Confirm {
        /// Which
        #[arg(value_name = "GENERATION", default_value = "pending")]
        generation: String,
        #[command(flatten)]
        note: change::NoteOptions,
    },
    /// Take back what is being tried; its documents are not held against it
    Cancel {
        /// Which
        #[arg(value_name = "GENERATION", default_value = "pending")]
        generation: String,
        #[command(flatten)]
        note: change::NoteOptions,
    },
    /// Try it for longer, or shorter
    Extend {
        /// Which
        #[arg(value_name = "GENERATION", default_value = "pending")]
        generation: String,
        /// From now to the end of its probation
        #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = crate::quantity::duration)]
        time: std::time::Duration,
        #[command(flatten)]
        note: change::NoteOptions,
    },
    /// Keep it whatever gc removes
    Pin {
        /// Which
        #[arg(value_name = "GENERATION")]
        generation: String,
        /// The pin's name: one generation may have several
        #[arg(long, value_name = "NAME", default_value = "pinned")]
        name: String,
        #[command(flatten)]
        note: change::NoteOptions,
    },
    /// Take a pin away
    Unpin {
        /// Which
        #[arg(value_name = "GENERATION")]
        generation: String,
        /// The pin's name
        #[arg(long, value_name = "NAME", default_value = "pinned")]
        name: String,
        #[command(flatten)]
        note: change::NoteOptions,
    },
    /// Remove old ones: what is current, its predecessor, the newest, the confirmed and the pinned stay
    Gc {
        /// How many of the newest, and of the confirmed, stay: a week at ten changes a day
        #[arg(long, value_name = "N", default_value_t = engine::DEFAULT_KEEP)]
        keep: usize,
        #[command(flatten)]
        note: change::NoteOptions,
    },
}

/// Does what is asked for, and says what came of it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(act(&arguments.action, &arguments.common))
}

async fn act(action: &Action, common: &Common) -> anyhow::Result<Verdict> {
    let output = common.output();
    match action {
        Action::List { limit } => read::list(&history(common).await?, *limit, output).await,
        Action::Show { generation } => {
            read::show(&history(common).await?, generation, output).await
        }
        Action::Log { limit } => read::log(&history(common).await?, *limit, output).await,
        Action::Verify => read::verify(&history(common).await?, output).await,
        Action::Salvage => offline::salvage(&common.admin.state()?, output),
        Action::Diff {
            before,
            after,
            load,
        } => {
            let options = load.to_mesh();
            diff::diff(&history(common).await?, [before, after], &options, output).await
        }
        changing => change::run(changing, &common.admin, output).await,
    }
}

async fn history(common: &Common) -> anyhow::Result<History> {
    History::open(&common.admin).await
}
