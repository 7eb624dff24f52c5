//! A throw-away certificate for the TLS workload.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::load::HOST;

/// Where a run's certificate lies.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// The certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// Its private key, PEM.
    pub(crate) key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub(crate) both: PathBuf,
}

impl Certificate {
    /// Makes a self-signed ECDSA P-256 certificate in `folder`: the kind public authorities hand
    /// out by default today, and the same one for every proxy.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let made =
            rcgen::generate_simple_self_signed(vec![HOST.to_owned(), "127.0.0.1".to_owned()])
                .context("making a certificate")?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let files = Self {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            both: folder.join("both.pem"),
        };
        for (path, text) in [
            (&files.certificate, &certificate),
            (&files.key, &key),
            (&files.both, &format!("{certificate}{key}")),
        ] {
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(files)
    }
}
