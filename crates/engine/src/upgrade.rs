//! One process goes on with the work of another: same sockets, same generation, same knowledge, no request lost.
//!
//! The old process starts the new one and gives it, over a Unix socket in the state directory, every listening socket
//! (SCM_RIGHTS, unix(7)), the generation that serves and what balancers have learned. The new one serves beside it and
//! says so; the old one lets go of the store, the new one takes it, and the old one drains. Whatever goes wrong before
//! that, the old one goes on and the new one is ended.

mod new;
mod old;
mod wire;

pub use new::TakeOver;
pub use old::Upgrader;

/// The environment variable that names the socket to a new process.
pub const VARIABLE: &str = "DALBI_TAKE_OVER";
