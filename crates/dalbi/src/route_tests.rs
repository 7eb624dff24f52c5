//! Unit tests of routes: requests that nobody sends, and what is to become of them.
//!
//! The format is istio-config-validator's, with `expect`, `gateway` and `from` of our own. Reading and judging are
//! pure; files are read and results printed by `commands/test.rs`.

mod assumed;
mod case;
mod decode;
mod expected;
mod judge;
mod junit;
mod names;
mod suite;
mod text;

pub(crate) use assumed::{Assumed, assumed};
pub(crate) use case::Case;
pub(crate) use decode::{decode, is_test_file};
pub(crate) use judge::{Failure, Verdict, judge};
pub(crate) use junit::write as write_junit;
pub(crate) use suite::{Tried, Untried, decode_all, try_all};
pub(crate) use text::write as write_text;

#[cfg(test)]
mod tests;
