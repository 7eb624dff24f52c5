//! The Gateway API's own conformance cases, sent through the real binary.
//!
//! `cases` reads what the suite's Go code expects, `overrides` puts right and completes what could not be turned
//! into data.

mod cases;
mod overrides;
mod run;

pub use self::run::{Options, run};
