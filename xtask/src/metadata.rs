//! What `cargo metadata` says, as far as the checks need it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::steps;

/// The workspace and everything it depends on.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    /// By package id.
    pub(crate) packages: BTreeMap<String, Package>,
    /// Ids of the workspace's own.
    pub(crate) members: BTreeSet<String>,
}

/// One package.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// SPDX expression.
    pub(crate) license: Option<String>,
    /// `None` for a path of this workspace.
    pub(crate) source: Option<String>,
    /// Ids of what it is built with, normal dependencies only.
    pub(crate) normal: Vec<String>,
    /// Ids of what it is built or tested with.
    pub(crate) all: Vec<String>,
}

impl Metadata {
    /// Asks cargo; an error if `Cargo.lock` does not fit the manifests.
    pub(crate) fn load() -> Result<Self> {
        let text =
            steps::output(steps::cargo().args(["metadata", "--format-version=1", "--locked"]))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("cargo metadata is no JSON")?;
        let mut packages = BTreeMap::new();
        for package in array(&value, "packages")? {
            packages.insert(
                text_of(package, "id")?,
                Package {
                    name: text_of(package, "name")?,
                    version: text_of(package, "version")?,
                    license: text_of(package, "license").ok(),
                    source: text_of(package, "source").ok(),
                    normal: Vec::new(),
                    all: Vec::new(),
                },
            );
        }
        for node in array(value.get("resolve").unwrap_or(&Value::Null), "nodes")? {
            let id = text_of(node, "id")?;
            let package = packages
                .get_mut(&id)
                .with_context(|| format!("no package {id}"))?;
            for dependency in array(node, "deps")? {
                let target = text_of(dependency, "pkg")?;
                // A normal dependency has the kind null.
                if array(dependency, "dep_kinds")?
                    .iter()
                    .any(|kind| kind["kind"].is_null())
                {
                    package.normal.push(target.clone());
                }
                package.all.push(target);
            }
        }
        let members = array(&value, "workspace_members")?
            .iter()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect();
        Ok(Self {
            root: text_of(&value, "workspace_root")?.into(),
            target: text_of(&value, "target_directory")?.into(),
            packages,
            members,
        })
    }

    /// The workspace's own packages.
    pub(crate) fn own(&self) -> impl Iterator<Item = &Package> {
        self.members.iter().filter_map(|id| self.packages.get(id))
    }

    /// The shortest chain of normal dependencies from `package` to one that `wanted` accepts, both ends
    /// included.
    pub(crate) fn path_to(
        &self,
        package: &Package,
        wanted: impl Fn(&Package) -> bool,
    ) -> Option<Vec<String>> {
        let mut seen = BTreeSet::new();
        let mut chains = vec![(package, vec![package.name.clone()])];
        while !chains.is_empty() {
            let mut longer = Vec::new();
            for (last, chain) in chains {
                for dependency in last
                    .normal
                    .iter()
                    .filter_map(|id| seen.insert(id).then(|| self.packages.get(id)).flatten())
                {
                    let mut chain = chain.clone();
                    chain.push(dependency.name.clone());
                    if wanted(dependency) {
                        return Some(chain);
                    }
                    longer.push((dependency, chain));
                }
            }
            chains = longer;
        }
        None
    }
}

fn array<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value
        .get(key)
        .and_then(Value::as_array)
        .with_context(|| format!("cargo metadata has no `{key}`"))
}

fn text_of(value: &Value, key: &str) -> Result<String> {
    let text = value.get(key).and_then(Value::as_str);
    text.map(str::to_owned)
        .with_context(|| format!("cargo metadata has no `{key}`"))
}
