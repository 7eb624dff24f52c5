//! What is told about requests: counted per worker without locks, read by the admin server.

pub(crate) mod access_log;
pub(crate) mod connections;
pub(crate) mod generation;
pub(crate) mod metrics;
pub(crate) mod record;
pub(crate) mod tally;
pub(crate) mod traffic;
