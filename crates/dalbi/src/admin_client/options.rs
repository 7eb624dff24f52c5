//! Which process is asked, as flags.

use std::path::{Path, PathBuf};

use clap::Args;
use http::HeaderValue;

use super::{AdminClient, AdminError, Endpoint, Trust};
use crate::state::{StateOptions, TOKEN_FILE};

/// Flags of every command that asks a running process.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminOptions {
    #[command(flatten)]
    state: StateOptions,
    /// Admin server to ask, as http://HOST:PORT or https://HOST:PORT [default: that of the process that has the state
    /// directory]
    #[arg(
        long,
        value_name = "URL",
        env = "DALBI_ADMIN",
        global = true,
        help_heading = "Admin server"
    )]
    admin: Option<String>,
    /// File with the token that changes need; $DALBI_ADMIN_TOKEN may hold the token itself [default: admin-token in
    /// the state directory]
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help_heading = "Admin server"
    )]
    token_file: Option<PathBuf>,
    /// Authorities to trust over https, PEM [default: the system's]
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help_heading = "Admin server"
    )]
    ca: Option<PathBuf>,
    /// Certificate chain to show over https instead of a token, PEM
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        global = true,
        help_heading = "Admin server"
    )]
    cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        global = true,
        help_heading = "Admin server"
    )]
    key: Option<PathBuf>,
}

impl AdminOptions {
    /// The state directory, whether or not a process has it.
    pub(crate) fn state(&self) -> anyhow::Result<PathBuf> {
        Ok(self.state.directory()?)
    }

    /// Whether a server was named, whose state directory may be on another machine.
    pub(crate) fn is_named(&self) -> bool {
        self.admin.is_some()
    }

    /// Whom to trust, also of other servers.
    pub(crate) fn trust(&self) -> Trust {
        Trust {
            authority: self.ca.clone(),
            identity: self.cert.clone().zip(self.key.clone()),
        }
    }

    /// The process to ask.
    ///
    /// # Errors
    /// [`AdminError::NobodyRuns`] if none was named and none has the state directory.
    pub(crate) fn client(&self) -> anyhow::Result<AdminClient> {
        let state = self.state();
        let url = match &self.admin {
            Some(url) => url.clone(),
            None => running(
                state
                    .as_deref()
                    .map_err(|error| anyhow::anyhow!("{error}"))?,
            )?,
        };
        let endpoint = Endpoint::of(&url, &self.trust())?;
        Ok(AdminClient::new(endpoint, self.token(state.ok())))
    }

    /// The same; `None` if nobody runs, or without an admin server, and none was named.
    pub(crate) fn client_if_any(&self) -> anyhow::Result<Option<AdminClient>> {
        match self.client() {
            Ok(client) => Ok(Some(client)),
            Err(error) => match error.downcast_ref() {
                Some(AdminError::NobodyRuns(_) | AdminError::NoServer { .. }) => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn token(&self, state: Option<PathBuf>) -> Result<HeaderValue, String> {
        let text = match (&self.token_file, std::env::var("DALBI_ADMIN_TOKEN"), state) {
            (Some(file), _, _) => read(file)?,
            (None, Ok(token), _) if !token.trim().is_empty() => token,
            (None, _, Some(state)) => read(&state.join(TOKEN_FILE))?,
            (None, _, None) => return Err("no state directory is known".to_owned()),
        };
        let mut header = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
            .map_err(|_| "the token holds what no header can hold".to_owned())?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// Where the process that has this state directory is to be asked.
fn running(state: &Path) -> anyhow::Result<String> {
    let owner = generations::lock_owner(state)?;
    let owner = owner.ok_or_else(|| AdminError::NobodyRuns(state.to_owned()))?;
    Ok(owner.admin.ok_or_else(|| AdminError::NoServer {
        path: state.to_owned(),
        pid: owner.pid,
    })?)
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("read {}: {error}", file.display()))
}
