//! What `dalbi demo` is made of: six unequal servers, documents that lead to them, and a table of how they fare.
//! To compare two algorithms there is each of this twice, and the two tables stand side by side.

mod algorithm;
mod comparison;
mod screen;
mod servers;
mod side;
mod summary;

pub(crate) use algorithm::Algorithm;
pub(crate) use comparison::Comparison;
pub(crate) use screen::Screen;
pub(crate) use servers::Servers;
pub(crate) use side::Side;
pub(crate) use summary::Summary;
