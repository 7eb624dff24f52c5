//! Third-party conformance cases, run against the real binary: the Gateway API's suite and Istio's own documents.
//!
//! The cases are data that lies outside the repository, in the folder that `DALBI_CONFORMANCE_DIR` names. This crate
//! depends on no other of the workspace: it knows `dalbi` as its users do, by its commands and what it answers.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use conformance::{Binary, folder, gateway_api};
//!
//! let Some(folder) = folder::locate("example") else { return Ok(()) };
//! let report = gateway_api::run(&folder, Binary::locate()?, &gateway_api::Options::default()).await?;
//! print!("{}", report.table());
//! # Ok(())
//! # }
//! ```

mod certificates;
mod check;
mod client;
mod compare;
mod dalbi;
mod document;
mod echo;
mod expected;
pub mod folder;
pub mod gateway_api;
pub mod istio;
mod known;
mod manifests;
mod probe;
pub mod report;
mod run;
mod site;
mod yaml;

pub use self::dalbi::Binary;
pub use self::document::text as document;
