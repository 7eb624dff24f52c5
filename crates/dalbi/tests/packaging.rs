//! `packaging/`: what systemd itself says of the units.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::{Folder, peers};

/// Exposure as `systemd-analyze security` counts it, from 0 to 10; what it says is in the README.
const MOST_EXPOSURE: f64 = 2.0;

/// The units in a folder of their own, with the binary that was built in the place of the installed one.
fn units() -> Folder {
    let folder = Folder::new();
    for name in ["dalbi.service", "dalbi.socket"] {
        let text = fs::read_to_string(packaged(name)).unwrap();
        folder.write(
            name,
            &text.replace("/usr/bin/dalbi", env!("CARGO_BIN_EXE_dalbi")),
        );
    }
    folder
}

fn packaged(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging/systemd")
        .join(name)
}

fn analyze(program: &Path, folder: &Folder, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told = [&output.stdout[..], &output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    (output, told)
}

#[test]
fn systemd_takes_the_units() {
    let Some(program) = peers::program("systemd-analyze") else {
        return;
    };
    let folder = units();
    let (output, told) = analyze(
        &program,
        &folder,
        &["verify", "./dalbi.service", "./dalbi.socket"],
    );
    assert!(output.status.success(), "{told}");
    // Unknown settings are only warnings.
    assert!(!told.contains("dalbi."), "{told}");

    folder.write(
        "dalbi.service",
        "[Service]\nExecStart=/nonexistent/dalbi\nNoSuchSetting=1\n",
    );
    let (output, told) = analyze(&program, &folder, &["verify", "./dalbi.service"]);
    assert!(
        !output.status.success() && told.contains("NoSuchSetting"),
        "{told}"
    );
}

#[test]
fn the_service_is_confined() {
    let Some(program) = peers::program("systemd-analyze") else {
        return;
    };
    let (output, told) = analyze(
        &program,
        &units(),
        &["security", "--offline=true", "./dalbi.service"],
    );
    assert!(output.status.success(), "{told}");
    let overall = told
        .lines()
        .find_map(|line| line.split_once("exposure level for dalbi.service: "));
    let (_, overall) = overall.unwrap_or_else(|| panic!("no overall figure:\n{told}"));
    let exposure: f64 = overall.split(' ').next().unwrap().parse().unwrap();
    assert!(exposure <= MOST_EXPOSURE, "{told}");
}
