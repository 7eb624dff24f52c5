//! How new generations are tried, as flags.

use std::time::Duration;

use clap::Args;
use engine::api::Terms;

use crate::quantity;

/// Flags of every command that makes generations.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Trying a generation")]
pub(crate) struct TrialOptions {
    /// How long a new generation is watched before it can be confirmed; 0s confirms at once
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = quantity::duration)]
    probation: Duration,
    /// Let it serve only this share of requests meanwhile; the rest stays with the one before
    #[arg(long, value_name = "PERCENT", value_parser = quantity::share)]
    canary: Option<f64>,
    /// What counts as harm, as `errors=0.5%,p99=20%,saturation=90%`; see docs/generations.md
    #[arg(long, value_name = "SIGNAL=LIMIT,…", value_delimiter = ',')]
    gate: Vec<String>,
}

impl TrialOptions {
    /// As the engine takes them.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            probation_s: self.probation.as_secs_f64(),
            canary: self.canary,
            gate: self.gate.clone(),
            ..Terms::default()
        }
    }
}
