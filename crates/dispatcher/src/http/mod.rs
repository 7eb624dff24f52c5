//! The two HTTP versions on both sides, behind one set of traits.
//!
//! An exchange is written once, in [`crate::exchange`], against these traits; each version implements
//! them on its own terms. HTTP/1.1 to HTTP/1.1 passes bytes from one socket's buffer to the other socket.

pub(crate) mod body;
pub(crate) mod h1_body;
pub(crate) mod h1_client;
pub(crate) mod h1_server;
pub(crate) mod h2_body;
pub(crate) mod h2_client;
pub(crate) mod h2_gather;
pub(crate) mod h2_guard;
pub(crate) mod h2_server;
pub(crate) mod h2_transport;
pub(crate) mod tunnel;
pub(crate) mod upstream;
pub(crate) mod view;
