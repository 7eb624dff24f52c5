//! Licences, bans, sources and advisories of what the workspace is built with.
//!
//! The rules stand in `deny.toml`, in cargo-deny's own format. Licences, bans and sources are checked here
//! from `cargo metadata` in a moment, because building cargo-deny takes minutes; advisories need its database.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::metadata::{Metadata, Package};
use crate::steps;

/// The part of `deny.toml` that is checked here.
#[derive(Debug, Default)]
struct Policy {
    /// SPDX ids.
    allowed_licences: Vec<String>,
    /// Crate to the only licences it is allowed beyond those.
    licence_exceptions: BTreeMap<String, Vec<String>>,
    /// Crate to the reason it is banned.
    banned: BTreeMap<String, String>,
}

impl Policy {
    fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not as expected", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let document: toml::Table = text.parse()?;
        let list = |table: &str, key: &str| {
            document
                .get(table)
                .and_then(|table| table.get(key))
                .and_then(toml::Value::as_array)
                .with_context(|| format!("no list `{key}` in [{table}]"))
        };
        let mut policy = Self {
            allowed_licences: texts(list("licenses", "allow")?),
            ..Self::default()
        };
        for entry in list("licenses", "exceptions")? {
            let allowed = entry.get("allow").and_then(toml::Value::as_array);
            let allowed = allowed.context("an exception needs `allow`")?;
            policy
                .licence_exceptions
                .insert(field(entry, "crate")?, texts(allowed));
        }
        for entry in list("bans", "deny")? {
            policy
                .banned
                .insert(field(entry, "crate")?, field(entry, "reason")?);
        }
        Ok(policy)
    }

    fn allows(&self, package: &Package) -> Result<(), String> {
        let name = format!("{} {}", package.name, package.version);
        let licence = package
            .license
            .as_deref()
            .ok_or_else(|| format!("{name} names no licence"))?;
        // Lax: old crates write `MIT/Apache-2.0`.
        let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX)
            .map_err(|error| format!("{name}: licence `{licence}`: {error}"))?;
        let exceptions = self.licence_exceptions.get(&package.name);
        let allowed = expression.evaluate(|requirement| {
            let requirement = requirement.to_string();
            let is_named = |list: &[String]| list.contains(&requirement);
            is_named(&self.allowed_licences) || exceptions.is_some_and(|list| is_named(list))
        });
        if allowed {
            Ok(())
        } else {
            Err(format!("{name}: licence `{licence}` is not allowed"))
        }
    }

    fn violations(&self, metadata: &Metadata) -> Vec<String> {
        let mut wrong = Vec::new();
        for package in metadata.packages.values() {
            if let Err(reason) = self.allows(package) {
                wrong.push(reason);
            }
            if let Some(reason) = self.banned.get(&package.name) {
                let users: Vec<&str> = metadata
                    .packages
                    .iter()
                    .filter(|(_, user)| {
                        user.all.iter().any(|id| {
                            metadata
                                .packages
                                .get(id)
                                .is_some_and(|p| p.name == package.name)
                        })
                    })
                    .map(|(_, user)| user.name.as_str())
                    .collect();
                wrong.push(format!(
                    "{} is banned ({reason}); used by {}",
                    package.name,
                    users.join(", ")
                ));
            }
            if package
                .source
                .as_ref()
                .is_some_and(|source| !source.starts_with("registry+"))
            {
                wrong.push(format!("{} does not come from the registry", package.name));
            }
        }
        wrong
    }
}

/// Licences, bans and sources; duplicate versions are only told.
pub(crate) fn check(metadata: &Metadata) -> Result<()> {
    let policy = Policy::load(&metadata.root.join("deny.toml"))?;
    for (name, versions) in duplicates(metadata) {
        println!(
            "note: {name} is built in {} versions: {}",
            versions.len(),
            versions.join(", ")
        );
    }
    let wrong = policy.violations(metadata);
    if !wrong.is_empty() {
        bail!("deny.toml is not kept:\n  {}", wrong.join("\n  "));
    }
    println!("{} packages keep to deny.toml", metadata.packages.len());
    Ok(())
}

/// Known vulnerabilities, where cargo-deny is installed and its database can be had; loud where not.
pub(crate) fn advisories() -> Result<()> {
    let version = Command::new("cargo-deny").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        not_checked("cargo-deny is not installed (`cargo install --locked cargo-deny`)");
        return Ok(());
    }
    let fetched = steps::output(Command::new("cargo-deny").args(["fetch", "db"]));
    if let Err(error) = fetched {
        not_checked(&format!("the database cannot be reached: {error:#}"));
        return Ok(());
    }
    steps::run(Command::new("cargo-deny").args(["check", "--disable-fetch", "advisories"]))
}

fn not_checked(reason: &str) {
    println!("SKIPPED (loud): advisories were NOT checked: {reason}");
}

/// Names that are built in several versions, with those.
fn duplicates(metadata: &Metadata) -> Vec<(&str, Vec<&str>)> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in metadata.packages.values() {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .collect()
}

fn texts(values: &[toml::Value]) -> Vec<String> {
    values
        .iter()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

fn field(entry: &toml::Value, key: &str) -> Result<String> {
    let text = entry.get(key).and_then(toml::Value::as_str);
    text.map(str::to_owned)
        .with_context(|| format!("`{entry:?}` needs `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
        exceptions = [{ crate = "special", allow = ["CC0-1.0"] }]
        [bans]
        deny = [{ crate = "openssl", reason = "rustls does TLS here" }]
    "#;

    fn package(name: &str, license: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            license: Some(license.to_owned()),
            source: Some("registry+somewhere".to_owned()),
            normal: Vec::new(),
            all: Vec::new(),
        }
    }

    fn metadata(packages: Vec<Package>) -> Metadata {
        Metadata {
            root: "/".into(),
            target: "/target".into(),
            members: Default::default(),
            packages: packages
                .into_iter()
                .map(|package| (format!("{}@{}", package.name, package.version), package))
                .collect(),
        }
    }

    #[test]
    fn licence_expressions_are_understood() {
        let policy = Policy::parse(RULES).unwrap();
        for licence in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "(MIT OR ISC) AND Apache-2.0",
        ] {
            assert_eq!(policy.allows(&package("any", licence)), Ok(()), "{licence}");
        }
        for licence in [
            "GPL-3.0-only",
            "MIT AND ISC",
            "CC0-1.0",
            "Apache-2.0 WITH Bison-exception-2.2",
        ] {
            let refused = policy.allows(&package("any", licence)).unwrap_err();
            assert!(
                refused.contains("any 1.2.3") && refused.contains(licence),
                "{refused}"
            );
        }
        assert_eq!(policy.allows(&package("special", "CC0-1.0")), Ok(()));
        let nameless = Package {
            license: None,
            ..package("any", "")
        };
        assert_eq!(
            policy.allows(&nameless).unwrap_err(),
            "any 1.2.3 names no licence"
        );
    }

    #[test]
    fn banned_crates_are_told_with_reason_and_user() {
        let user = Package {
            all: vec!["openssl@1.2.3".to_owned()],
            ..package("client", "MIT")
        };
        let metadata = metadata(vec![package("openssl", "MIT"), user]);
        let wrong = Policy::parse(RULES).unwrap().violations(&metadata);
        assert_eq!(
            wrong,
            ["openssl is banned (rustls does TLS here); used by client"]
        );
    }

    #[test]
    fn sources_other_than_the_registry_are_refused() {
        let forked = Package {
            source: Some("git+somewhere".to_owned()),
            ..package("any", "MIT")
        };
        let wrong = Policy::parse(RULES)
            .unwrap()
            .violations(&metadata(vec![forked]));
        assert_eq!(wrong, ["any does not come from the registry"]);
    }

    #[test]
    fn several_versions_are_told() {
        let newer = Package {
            version: "2.0.0".to_owned(),
            ..package("any", "MIT")
        };
        let metadata = metadata(vec![package("any", "MIT"), newer, package("other", "MIT")]);
        assert_eq!(duplicates(&metadata), [("any", vec!["1.2.3", "2.0.0"])]);
    }

    #[test]
    fn the_workspace_keeps_to_deny_toml() {
        check(&Metadata::load().unwrap()).unwrap();
    }
}
