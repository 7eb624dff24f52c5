//! The data plane: takes a [`mesh::Mesh`] and serves real traffic by it.
//!
//! [`Dispatcher::start`] opens the listeners and starts one thread per worker; [`Dispatcher::apply`] swaps
//! the configuration in one step; [`Dispatcher::drain`] ends without losing a request.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use dispatcher::{Dispatcher, Inherited, Options};
//! let mesh = std::sync::Arc::new(mesh::Mesh::default());
//! let dispatcher = Dispatcher::start(Options::default(), mesh, "", Inherited::default())?;
//! for listener in dispatcher.listeners() {
//!     println!("{} on {}", listener.name, listener.address);
//! }
//! let cut_off = dispatcher.drain();
//! # Ok(())
//! # }
//! ```
//!
//! What it refuses to do: read documents, decide what they mean, or pick an endpoint. That is `mesh`'s and
//! `alba`'s work; this crate is sockets, protocols and time.

mod admission;
mod buffer;
mod client;
mod clock;
mod cluster;
mod confirmation;
mod control;
mod dispatcher;
mod exchange;
mod health;
mod http;
mod inspector;
mod learned;
mod load_report;
mod names;
mod options;
mod places;
mod pool;
mod pulse;
mod snapshot;
mod sockets;
mod tcp;
mod telemetry;
mod timer;
mod transport;
mod views;
mod worker;

pub use crate::dispatcher::{Applied, ApplyError, Dispatcher, StartError};
pub use crate::inspector::Inspector;
pub use crate::options::{AccessLog, AccessLogFormat, Limits, Options};
pub use crate::places::PlacesError;
pub use crate::sockets::Inherited;
pub use crate::telemetry::tally::{Tally, latency_bounds};
pub use crate::transport::tls::{TlsError, unusable_tls};
pub use crate::views::{ClusterView, EndpointView, ListenerView};
