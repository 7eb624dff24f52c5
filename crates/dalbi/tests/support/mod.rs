//! Starts the real binary, waits for it without sleeping, and talks to it.
//!
//! ```ignore
//! mod support;
//! use support::{Dalbi, Folder, Upstream, http};
//!
//! let upstream = Upstream::start(&["--name", "one"]);
//! let folder = Folder::new();
//! folder.write("a.yaml", &documents(upstream.address().port()));
//! let dalbi = Dalbi::run(folder.path(), &[]);
//! let response = http::get(dalbi.address(8080), "/").await;
//! ```
//!
//! Processes are killed when their value is dropped; what they wrote to standard error is shown if the test fails.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "every test binary uses a part of it"
)]

mod certificates;
mod control;
mod dalbi;
mod documents;
mod folder;
pub mod frames;
pub mod http;
mod load;
mod metrics;
pub mod peers;
mod ports;
mod process;
mod servers;
pub mod siege;
mod upstream;
pub mod wire;

pub use certificates::Authority;
pub use control::Control;
pub use dalbi::Dalbi;
pub use documents::Site;
pub use folder::{Folder, example};
pub use load::{Load, Tally};
pub use metrics::metrics;
pub use ports::{free_offset, free_port};
pub use process::{Process, run_to_end};
pub use servers::WebServer;
pub use upstream::Upstream;

use std::time::Duration;

/// How long anything may take before a test fails. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two questions of [`until`]: asking without a pause would take the CPU from those who are to answer.
const PAUSE: Duration = Duration::from_millis(2);

/// Asks again and again until the answer is yes, giving others their turn in between.
pub async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| panic!("still not so after {PATIENCE:?}: {what}"));
}
