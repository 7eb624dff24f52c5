//! Where a process keeps its generations: the state directory, the same for whoever runs, applies and looks.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::cli::UsageError;

/// Within the state directory: what a request that changes something has to show.
pub(crate) const TOKEN_FILE: &str = "admin-token";

/// Which state directory is meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct StateOptions {
    /// Directory of the generations and of the admin token; a process has it for itself [default: /var/lib/dalbi
    /// for root, else $XDG_STATE_HOME/dalbi or ~/.local/state/dalbi]
    #[arg(
        long = "state",
        value_name = "DIR",
        env = "DALBI_STATE",
        global = true,
        help_heading = "Generations"
    )]
    directory: Option<PathBuf>,
}

impl StateOptions {
    /// The directory, which need not be there yet.
    ///
    /// # Errors
    /// None was named, and the user has no home that it could be in.
    pub(crate) fn directory(&self) -> Result<PathBuf, UsageError> {
        if let Some(directory) = &self.directory {
            return Ok(directory.clone());
        }
        let is_root = rustix::process::geteuid().is_root();
        let places = (std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"));
        default_directory(is_root, places.0, places.1).ok_or_else(|| {
            UsageError(anyhow::anyhow!(
                "neither $XDG_STATE_HOME nor $HOME names an absolute path to keep generations below; name a \
                 directory with --state"
            ))
        })
    }
}

/// The XDG Base Directory Specification, for users: what is not absolute is as good as not set.
fn default_directory(
    is_root: bool,
    state_home: Option<OsString>,
    home: Option<OsString>,
) -> Option<PathBuf> {
    if is_root {
        return Some(PathBuf::from("/var/lib/dalbi"));
    }
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let state_home = state_home.and_then(absolute);
    let state_home = state_home.or_else(|| Some(home.and_then(absolute)?.join(".local/state")));
    Some(state_home?.join("dalbi"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_a_place_of_their_own() {
        let place = |is_root, state_home: Option<&str>, home: Option<&str>| {
            default_directory(
                is_root,
                state_home.map(OsString::from),
                home.map(OsString::from),
            )
        };
        for (is_root, state_home, home, expected) in [
            (true, Some("/x"), Some("/root"), Some("/var/lib/dalbi")),
            (false, Some("/x"), Some("/home/ann"), Some("/x/dalbi")),
            (
                false,
                None,
                Some("/home/ann"),
                Some("/home/ann/.local/state/dalbi"),
            ),
            (
                false,
                Some(""),
                Some("/home/ann"),
                Some("/home/ann/.local/state/dalbi"),
            ),
            (
                false,
                Some("x"),
                Some("/home/ann"),
                Some("/home/ann/.local/state/dalbi"),
            ),
            (false, None, Some("ann"), None),
            (false, None, None, None),
        ] {
            let found = place(is_root, state_home, home);
            assert_eq!(
                found,
                expected.map(PathBuf::from),
                "{state_home:?} {home:?}"
            );
        }
    }
}
