//! What is asked of a served folder: one request, or many of a kind, and what is to come of them.

use std::collections::BTreeMap;

use crate::expected::{Grpc, Http, Tcp};
use crate::site::Target;

/// Stands in a path where every request has a text of its own.
pub(crate) const UNIQUE: &str = "UNIQUE";

/// A request, or many of a kind, and what is to come of them.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// The row's, with the number of the row among those of the same one.
    pub(crate) id: String,
    pub(crate) title: String,
    /// The namespace of the client, in the mesh.
    pub(crate) namespace: Option<String>,
    /// A kind of which all documents are taken away before.
    pub(crate) without: Option<&'static str>,
    /// What to do, or why it cannot be done here.
    pub(crate) probe: Result<Probe, String>,
}

/// What to send.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    Http {
        target: Target,
        tls: Option<TlsAsk>,
        expected: Box<Http>,
        outcome: Outcome,
    },
    Grpc {
        target: Target,
        expected: Box<Grpc>,
        /// Any code but OK is right.
        fails: bool,
    },
    Tcp {
        target: Target,
        server_name: Option<String>,
        expected: Tcp,
    },
    /// No TLS connection comes about.
    Refused { target: Target, server_name: String },
    /// Many of one kind, and where they arrive.
    Shares {
        of: Box<Self>,
        shares: BTreeMap<String, f64>,
        /// A request header in which the upstream sees its own name.
        named_in: Option<&'static str>,
    },
    /// A message over a WebSocket comes back.
    WebSocket { target: Target },
}

/// How to shake hands.
#[derive(Debug, Clone)]
pub(crate) struct TlsAsk {
    pub(crate) server_name: String,
    /// The Secret whose certificate the server shows; any, if none is named.
    pub(crate) server: Option<String>,
    /// The Secret whose certificate the client shows.
    pub(crate) client: Option<String>,
}

/// What makes a request right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All that the expectation says.
    AsExpected,
    /// A status of 400 or more but 404, whatever the expectation says.
    HttpError,
    /// No connection, or a status that is not 200.
    Failure,
}

impl Check {
    pub(crate) fn new(id: String, title: String, probe: Result<Probe, String>) -> Self {
        Self {
            id,
            title,
            namespace: None,
            without: None,
            probe,
        }
    }
}
