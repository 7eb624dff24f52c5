//! Istio's samples load without an error.

use std::path::Path;

use anyhow::{Context, Result};

use super::{check, errors};
use crate::dalbi::Binary;
use crate::known;
use crate::report::{Row, Test};

/// A test per folder, a row per file.
pub(super) async fn run(
    folder: &Path,
    binary: &Binary,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for sample in sorted(&folder.join("samples"))? {
        let name = format!("samples-{}", file_name(&sample));
        if !wanted(&name) {
            continue;
        }
        let mut rows = Vec::new();
        for file in sorted(&sample)? {
            let id = format!("{name}/{}", file_name(&file));
            let errors = errors(&check(binary, &file).await?);
            let verdict = match errors.is_empty() {
                true => Ok(()),
                false => Err(format!("expected no error, got {errors:?}")),
            };
            rows.push(Row {
                outcome: known::judged(&id, verdict),
                title: "loads without an error".to_owned(),
                id,
            });
        }
        tests.push(Test {
            name,
            features: vec!["Istio".to_owned()],
            provisional: false,
            rows,
        });
    }
    Ok(tests)
}

/// What a folder holds, by name.
pub(super) fn sorted(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut paths: Vec<_> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
