//! Programs that nobody here wrote.

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::Process;

/// A program to test with, or `None` after saying loudly that the test is skipped.
pub fn program(name: &str) -> Option<PathBuf> {
    if !is_missing(name) {
        let path = env::var_os("PATH").unwrap_or_default();
        // Servers lie where a user's PATH may not lead.
        let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        let mut candidates = folders.map(|folder: PathBuf| folder.join(name));
        if let Some(found) = candidates.find(|path| path.is_file()) {
            return Some(found);
        }
    }
    skip(name, "the program is not installed");
    None
}

/// Envoy, or `None` after saying loudly that the test is skipped.
pub fn envoy() -> Option<PathBuf> {
    if !is_missing("envoy")
        && let Some(path) = env::var_os("DALBI_ENVOY")
    {
        return Some(path.into());
    }
    skip("envoy", "DALBI_ENVOY does not name its binary");
    None
}

/// A Python with the package `websockets`, or `None` after saying loudly that the test is skipped.
pub fn python_websockets() -> Option<PathBuf> {
    if !is_missing("websockets")
        && let Some(path) = env::var_os("DALBI_PEER_PYTHON")
    {
        return Some(path.into());
    }
    skip(
        "websockets",
        "DALBI_PEER_PYTHON does not name a Python that has it",
    );
    None
}

fn is_missing(name: &str) -> bool {
    env::var("DALBI_SKIP").is_ok_and(|missing| missing.split(',').any(|missing| missing == name))
}

/// Says that a test does not run, also in the file that `cargo xtask test` reads.
fn skip(name: &str, reason: impl Display) {
    let test = std::thread::current();
    let line = format!("{name}: {reason} ({})", test.name().unwrap_or("a test"));
    println!("SKIPPED (loud): {line}");
    if let Some(path) = env::var_os("DALBI_SKIPPED_FILE") {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// Starts a server and returns when it accepts connections at `address`.
pub fn serve(program: &Path, arguments: &[impl AsRef<OsStr>], address: SocketAddr) -> Process {
    let mut command = Command::new(program);
    command.args(arguments);
    let process = Process::spawn(command);
    process.accepts(address);
    process
}

/// Runs a program to its end without holding up the other tasks of a test.
pub async fn run(program: &Path, arguments: &[impl AsRef<OsStr>]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output());
    output
        .await
        .unwrap()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// Runs curl, which is silent but for errors, gives up in time, and must succeed; what it printed.
pub async fn curl(curl: &Path, arguments: &[&str]) -> String {
    let output = try_curl(curl, arguments).await;
    assert!(
        output.status.success(),
        "curl {arguments:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The same, where it may fail.
pub async fn try_curl(curl: &Path, arguments: &[&str]) -> Output {
    let always = [
        "--silent",
        "--show-error",
        "--max-time",
        "30",
        "--noproxy",
        "*",
    ];
    run(curl, &[&always, arguments].concat()).await
}
