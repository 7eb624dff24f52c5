//! The folder of third-party cases.

use std::io::Write;
use std::path::PathBuf;

/// Names the folder.
pub const VARIABLE: &str = "DALBI_CONFORMANCE_DIR";

/// Where the cases are, or nothing, which is said loudly: a test that is skipped in silence is a bug.
#[must_use]
pub fn locate(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(VARIABLE).map(PathBuf::from);
    let reason = match &folder {
        None => format!("{VARIABLE} names no folder with the cases"),
        Some(folder) if folder.is_dir() => return Some(folder.clone()),
        Some(folder) => panic!("{VARIABLE} names {}, which is no folder", folder.display()),
    };
    println!("SKIPPED (loud): {test}: {reason}");
    if let Some(path) = std::env::var_os("DALBI_SKIPPED_FILE") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path);
        let noted = file.and_then(|mut file| writeln!(file, "{test}: {reason}"));
        assert!(
            noted.is_ok(),
            "cannot write {}",
            PathBuf::from(path).display()
        );
    }
    None
}
