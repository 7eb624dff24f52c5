//! Istio's own documents: those that its API server accepts or refuses, its samples, and route tests.

mod bookinfo;
mod crd_validation;
mod route_tests;
mod router_check;
mod samples;

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::dalbi::Binary;
use crate::report::Report;
use crate::site::World;

/// Runs all of `folder/istio`.
///
/// # Errors
///
/// If the data cannot be read.
pub async fn run(folder: &Path, binary: Binary, filter: Option<&str>) -> Result<Report> {
    let folder = folder.join("istio");
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    let world = World::new(binary.clone())?;
    let mut tests = crd_validation::run(&folder, &binary, &wanted).await?;
    tests.extend(samples::run(&folder, &binary, &wanted).await?);
    tests.extend(bookinfo::run(&folder, &world, &wanted).await?);
    tests.extend(route_tests::run(&folder, &binary, &wanted).await?);
    Ok(Report { tests })
}

/// What `dalbi check` says of a file or folder.
async fn check(binary: &Binary, path: &Path) -> Result<Vec<Value>> {
    let path = path.to_string_lossy();
    let output = binary.to_end(&["check", "--output", "json", &path]).await?;
    let said: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("dalbi check {path} wrote no JSON: {errors}")
    })?;
    let findings = said["diagnostics"].as_array().context("no `diagnostics`")?;
    let exit = output.status.code();
    let errors = findings
        .iter()
        .filter(|finding| finding["severity"] == "error")
        .count();
    anyhow::ensure!(
        exit == Some(i32::from(errors > 0)),
        "dalbi check {path} found {errors} errors and ended with {exit:?}"
    );
    Ok(findings.clone())
}

/// The errors among findings, each as `object: field: message`.
fn errors(findings: &[Value]) -> Vec<String> {
    let errors = findings
        .iter()
        .filter(|finding| finding["severity"] == "error");
    let text = |finding: &Value| {
        let part = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        format!("{}: {}: {}", part("object"), part("field"), part("message"))
    };
    errors.map(text).collect()
}
