//! Which crate may depend on which.
//!
//! The walls between crates are what keeps them testable alone: the pure ones run the same code in the
//! proxy, in the simulator and in `explain`, so nothing that they are built with may open a socket, read a
//! clock's reactor or draw unseeded randomness.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::metadata::{Metadata, Package};

/// A workspace crate, whether it is pure, and the workspace crates it may depend on (for tests, too).
struct Rule {
    name: &'static str,
    pure: bool,
    may_use: &'static [&'static str],
}

/// Every crate of the workspace has a row; a new one needs a reason and a line in ARCHITECTURE.md.
const RULES: &[Rule] = &[
    Rule {
        name: "alba",
        pure: true,
        may_use: &[],
    },
    Rule {
        name: "http1",
        pure: true,
        may_use: &[],
    },
    Rule {
        name: "manifests",
        pure: true,
        may_use: &[],
    },
    Rule {
        name: "gateway-api",
        pure: true,
        may_use: &["manifests"],
    },
    Rule {
        name: "mesh",
        pure: true,
        may_use: &["alba", "gateway-api", "manifests"],
    },
    Rule {
        name: "sim",
        pure: true,
        may_use: &["alba"],
    },
    Rule {
        name: "probation",
        pure: true,
        may_use: &[],
    },
    Rule {
        name: "dalbi-load",
        pure: false,
        may_use: &[],
    },
    Rule {
        name: "generations",
        pure: false,
        may_use: &[],
    },
    Rule {
        name: "dispatcher",
        pure: false,
        may_use: &["alba", "dalbi-load", "http1", "mesh"],
    },
    Rule {
        name: "engine",
        pure: false,
        may_use: &["dispatcher", "generations", "mesh", "probation"],
    },
    Rule {
        name: "dalbi",
        pure: false,
        may_use: &[
            "alba",
            "dalbi-load",
            "dispatcher",
            "engine",
            "generations",
            "http1",
            "manifests",
            "mesh",
            "probation",
            "sim",
        ],
    },
    Rule {
        name: "bench",
        pure: false,
        may_use: &[],
    },
    Rule {
        name: "conformance",
        pure: false,
        may_use: &[],
    },
    Rule {
        name: "xtask",
        pure: false,
        may_use: &[],
    },
];

/// What no pure crate is built with, however far down.
const IMPURE: &[&str] = &[
    "async-io",
    "async-std",
    "crossbeam-channel",
    "getrandom",
    "h2",
    "hyper",
    "mio",
    "nix",
    "notify",
    "polling",
    "rand",
    "rayon",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tracing-subscriber",
];

/// An error that lists every arrow that must not be.
pub(crate) fn check(metadata: &Metadata) -> Result<()> {
    let mut wrong = Vec::new();
    for package in metadata.own() {
        match RULES.iter().find(|rule| rule.name == package.name) {
            Some(rule) => wrong.extend(violations(metadata, package, rule)),
            None => wrong.push(format!(
                "crate `{}` has no row in xtask/src/arrows.rs: say there what it may depend on",
                package.name
            )),
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n  "));
    }
    Ok(())
}

fn violations(metadata: &Metadata, package: &Package, rule: &Rule) -> Vec<String> {
    let own: BTreeSet<&str> = package
        .all
        .iter()
        .filter(|id| metadata.members.contains(*id))
        .filter_map(|id| metadata.packages.get(id))
        .map(|dependency| dependency.name.as_str())
        .collect();
    let mut wrong: Vec<String> = own
        .into_iter()
        .filter(|name| !rule.may_use.contains(name))
        .map(|name| {
            format!(
                "`{}` must not depend on `{name}`, only on {:?}",
                rule.name, rule.may_use
            )
        })
        .collect();
    if rule.pure {
        wrong.extend(
            metadata
                .path_to(package, |dependency| {
                    IMPURE.contains(&dependency.name.as_str())
                })
                .map(|chain| {
                    format!(
                        "`{}` is pure, but {} does I/O or draws randomness: {}",
                        rule.name,
                        chain.last().map_or("?", String::as_str),
                        chain.join(" -> ")
                    )
                }),
        );
    }
    wrong
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Packages named like their ids, each with what it depends on; those with a rule are the workspace's.
    fn metadata(packages: &[(&str, &[&str])]) -> Metadata {
        let package = |name: &str, dependencies: &[&str]| Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            license: None,
            source: None,
            normal: dependencies.iter().map(|&id| id.to_owned()).collect(),
            all: dependencies.iter().map(|&id| id.to_owned()).collect(),
        };
        let has_rule = |name: &str| RULES.iter().any(|rule| rule.name == name) || name == "new";
        Metadata {
            root: "/".into(),
            target: "/target".into(),
            members: packages
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .filter(|name| has_rule(name))
                .collect(),
            packages: packages
                .iter()
                .map(|(name, uses)| ((*name).to_owned(), package(name, uses)))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn the_workspace_keeps_to_its_arrows() {
        let metadata = Metadata::load().unwrap();
        check(&metadata).unwrap();
        // Guards against a check of nothing.
        assert!(metadata.own().count() >= 8);
        let dalbi = metadata
            .own()
            .find(|package| package.name == "dalbi")
            .unwrap();
        assert!(
            metadata
                .path_to(dalbi, |package| package.name == "tokio")
                .is_some()
        );
    }

    #[test]
    fn an_arrow_that_points_back_is_found() {
        let metadata = metadata(&[("alba", &["mesh"]), ("mesh", &[])]);
        let error = check(&metadata).unwrap_err().to_string();
        assert!(
            error.contains("`alba` must not depend on `mesh`"),
            "{error}"
        );
    }

    #[test]
    fn a_reactor_deep_below_a_pure_crate_is_found() {
        let metadata = metadata(&[
            ("http1", &["parser"]),
            ("parser", &["reader"]),
            ("reader", &["tokio"]),
            ("tokio", &[]),
        ]);
        let error = check(&metadata).unwrap_err().to_string();
        assert!(
            error.contains("http1 -> parser -> reader -> tokio"),
            "{error}"
        );
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let error = check(&metadata(&[("new", &[])])).unwrap_err().to_string();
        assert!(error.contains("crate `new` has no row"), "{error}");
    }

    #[test]
    fn rules_have_no_cycle_and_pure_crates_use_only_pure_ones() {
        let mut settled: Vec<&Rule> = Vec::new();
        while settled.len() < RULES.len() {
            let next = RULES.iter().find(|rule| {
                let is_settled = |name: &&str| settled.iter().any(|done| done.name == *name);
                !is_settled(&rule.name) && rule.may_use.iter().all(is_settled)
            });
            let rule = next.expect("every remaining rule waits for another: a cycle");
            for used in settled
                .iter()
                .filter(|done| rule.may_use.contains(&done.name))
            {
                assert!(used.pure || !rule.pure, "{} uses {}", rule.name, used.name);
            }
            settled.push(rule);
        }
    }
}
