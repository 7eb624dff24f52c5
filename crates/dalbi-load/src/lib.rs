//! What a server says of its own load, in a header that any language can send.
//!
//! A load balancer that knows how busy each server is need not guess. This crate reads and writes the header
//! that says it, and counts for a server what to say ([`Load`]).
//!
//! # The header
//!
//! It is the one of ORCA (Open Request Cost Aggregation), which Envoy and gRPC read too. A server adds it to any
//! of its answers, as a header or as a trailer:
//!
//! ```text
//! endpoint-load-metrics: TEXT application_utilization=0.4,rps_fractional=120,named_metrics.in_flight=3,named_metrics.latency_ms=8.5
//! ```
//!
//! | name | what it says |
//! |---|---|
//! | `application_utilization` | share of the server's capacity in use; above 1 is overload |
//! | `cpu_utilization` | the same of its processors; counts where the one above is missing or 0 |
//! | `mem_utilization` | the same of its memory |
//! | `rps_fractional` | requests it answers per second, from all clients |
//! | `eps` | errors it answers per second |
//! | `named_metrics.in_flight` | requests it holds, from all clients, without the one whose answer this is |
//! | `named_metrics.latency_ms` | what a request lately took there, at about this many in flight |
//! | `named_metrics.draining` | 1: send no further requests, it is about to stop |
//! | `named_metrics.` and any other name | the server's own metrics |
//!
//! Every name may be left out, and each may be said once. `in_flight` is what helps most, then `latency_ms`. Numbers
//! are decimal, finite and, but for the server's own metrics, not negative.
//!
//! Beside `TEXT` there are two more spellings of the same: `JSON {"cpu_utilization":0.3,"named_metrics":{"in_flight":3}}`,
//! and `BIN`, followed by the base64 of the protobuf message `xds.data.orca.v3.OrcaLoadReport`. gRPC sends that
//! without the `BIN ` in `endpoint-load-metrics-bin`.
//!
//! A server that is asked `GET /dalbi/load` answers with this header at once, however busy it is, and leaves the
//! question itself out of what it counts. Load balancers ask that way when no answer told them for a while.
//!
//! # Reading it
//!
//! ```
//! use dalbi_load::LoadReport;
//!
//! let report = LoadReport::parse(b"TEXT cpu_utilization=0.3,named_metrics.in_flight=3")?;
//! assert_eq!(report.in_flight, Some(3));
//! assert_eq!(report.utilization(), Some(0.3));
//! # Ok::<(), dalbi_load::ParseError>(())
//! ```
//!
//! # Sending it
//!
//! [`Load`] counts requests and knows what to say. For services built with `tower` (hyper, tonic, axum), the feature
//! `tower` has a layer, `LoadLayer`, that does all of it.
//!
//! # Bounds
//!
//! Whatever the bytes, reading them ends with a report or an error and takes bounded time and memory: a value has at
//! most [`MAX_BYTES`] bytes and [`MAX_METRICS`] metrics.

mod bin;
mod error;
mod json;
mod load;
mod meter;
mod metrics;
mod report;
mod text;
#[cfg(feature = "tower")]
mod tower;

pub use error::ParseError;
pub use load::{InFlight, Load};
pub use meter::Outcome;
pub use report::{Format, HEADER, HEADER_BIN, LOAD_PATH, LoadReport, MAX_BYTES, MAX_METRICS};
#[cfg(feature = "tower")]
pub use tower::{Answer, LoadBody, LoadLayer, LoadService};
