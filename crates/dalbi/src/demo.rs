//! What `dalbi demo` is made of: six unequal servers, documents that lead to them, and a table of how they fare.

mod screen;
mod servers;
mod summary;

pub(crate) use screen::Screen;
pub(crate) use servers::Servers;
pub(crate) use summary::Summary;
