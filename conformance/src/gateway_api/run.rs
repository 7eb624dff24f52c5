//! Runs the tests side by side: each set of documents is one start of the binary.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, ensure};
use futures_util::stream::{self, StreamExt};

use super::cases::{self, Test};
use super::overrides;
use crate::dalbi::Binary;
use crate::report::{self, Report};
use crate::run::run_checks;
use crate::site::World;

/// How a run is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only tests whose name contains this.
    pub filter: Option<String>,
}

/// Binaries that run at a time: enough to fill two cores while others wait for timeouts.
const AT_A_TIME: usize = 4;

/// Runs every test of `folder/gateway-api` that sends requests, and reports on all.
///
/// # Errors
///
/// If the data cannot be read, or contradicts itself in a way that nobody looked at.
pub async fn run(folder: &Path, binary: Binary, options: &Options) -> Result<Report> {
    let tests = cases::read(&folder.join("gateway-api"))?;
    let contradictions = overrides::contradictions(&tests);
    ensure!(
        contradictions.is_empty(),
        "titles say that an error is to come where rows expect 200: {contradictions:?}"
    );
    let world = Rc::new(World::new(binary)?);
    let wanted = |test: &Test| {
        options
            .filter
            .as_ref()
            .is_none_or(|filter| test.name.contains(filter.as_str()))
    };
    let runs = tests.into_iter().filter(wanted).map(|test| {
        let world = Rc::clone(&world);
        async move { run_test(&world, test).await }
    });
    Ok(Report {
        tests: stream::iter(runs).buffered(AT_A_TIME).collect().await,
    })
}

async fn run_test(world: &World, test: Test) -> report::Test {
    report::Test {
        rows: run_checks(world, &test.manifests, &test.checks).await,
        name: test.name,
        features: test.features,
        provisional: test.provisional,
    }
}
