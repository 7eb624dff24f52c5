//! What holds for every message, not just for chosen ones: how bytes are cut changes nothing, what
//! is written reads back the same, nothing panics, and hyper agrees with whatever is accepted.

mod connection;
mod hyper_agrees;
mod messages;
mod properties;
