//! Log events on standard error.

use std::io;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// What is logged and how.
#[derive(Debug, Args)]
pub(crate) struct LogOptions {
    /// Least severe level that is logged: error, warn, info, debug or trace; or a filter such as
    /// `info,dispatcher=debug`
    #[arg(
        long,
        global = true,
        default_value = "info",
        value_name = "LEVEL",
        help_heading = "Logging"
    )]
    log_level: EnvFilterText,
    /// How log lines on standard error are written
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        help_heading = "Logging"
    )]
    log_format: LogFormat,
}

/// A filter that has been parsed once; `EnvFilter` itself cannot be cloned.
#[derive(Debug, Clone)]
struct EnvFilterText(String);

impl std::str::FromStr for EnvFilterText {
    type Err = tracing_subscriber::filter::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        EnvFilter::builder().parse(text)?;
        Ok(Self(text.to_owned()))
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Sends log events to standard error from now on.
pub(crate) fn start(options: &LogOptions) {
    let filter = EnvFilter::new(&options.log_level.0);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // Fails only if a subscriber is there already, and then that one logs.
    let _installed = match options.log_format {
        LogFormat::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr())
                && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colours).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
