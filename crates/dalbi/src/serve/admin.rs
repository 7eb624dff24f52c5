//! The admin server as flags.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::Args;
use engine::admin::Tls;

/// Flags of a command whose admin server takes changes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Admin server")]
pub(crate) struct AdminServerOptions {
    /// Where the admin server listens (/ready, /metrics, /clusters, /generations …), or `off`. On loopback by default:
    /// reading needs no password, changes need the token in `admin-token` in the state directory
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15000")]
    admin: AdminAddress,
    /// Certificate chain of the admin server, PEM: it speaks HTTPS then
    #[arg(long, value_name = "FILE", requires = "admin_key")]
    admin_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "admin_cert")]
    admin_key: Option<PathBuf>,
    /// Authority whose client certificates may change something without the token, PEM
    #[arg(long, value_name = "FILE", requires = "admin_cert")]
    admin_client_ca: Option<PathBuf>,
}

impl AdminServerOptions {
    /// `None` switches it off.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.admin.0
    }

    /// Its TLS, if it has any.
    pub(crate) fn tls(&self) -> Option<Tls> {
        Some(Tls {
            certificate: self.admin_cert.clone()?,
            key: self.admin_key.clone()?,
            client_authority: self.admin_client_ca.clone(),
        })
    }

    /// Whether it speaks HTTPS.
    pub(crate) fn is_tls(&self) -> bool {
        self.admin_cert.is_some()
    }
}

/// Where the admin server listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdminAddress(pub(crate) Option<SocketAddr>);

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let address = text.parse().map_err(|_| {
            format!("`{text}` is neither an address such as 127.0.0.1:15000 nor `off`")
        })?;
        Ok(Self(Some(address)))
    }
}

/// The admin server's socket: one that was handed to us, or a new one.
///
/// # Errors
/// The address can't be had; says what to do.
pub(crate) fn admin_socket(
    address: SocketAddr,
    handed: &mut Vec<TcpListener>,
) -> anyhow::Result<TcpListener> {
    let position = handed
        .iter()
        .position(|socket| socket.local_addr().is_ok_and(|local| local == address));
    if let Some(position) = position {
        return Ok(handed.swap_remove(position));
    }
    TcpListener::bind(address)
        .with_context(|| format!("listen on {address} for the admin server"))
        .map_err(
            |error| match error.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::AddrInUse) => error.context(format!(
                    "another process has port {}; stop it or choose another with --admin",
                    address.port()
                )),
                _ => error,
            },
        )
}
