//! Upstreams within this process that answer what they were asked, as the suite's own images do.
//!
//! A Deployment becomes a [`Pod`]; each of its container ports is a listener of its own on loopback. Which pod got
//! a request is in its answer and, for mirrored requests whose answer nobody sees, in a [`Log`].

mod grpc;
mod http;
mod log;
mod pod;
mod retries;
mod tcp;

pub(crate) use self::grpc::{METHOD_PREFIX, fields};
pub(crate) use self::log::{Log, MARK, Seen};
pub(crate) use self::pod::{Pod, Template};
