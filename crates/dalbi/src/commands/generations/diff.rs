//! What changes for requests between two generations.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use generations::Document;
use mesh::{Mesh, SourceFile};
use serde::Serialize;
use serde_json::json;

use super::{Output, read};
use crate::cli::Verdict;
use crate::diff::{Change, Differences};
use crate::documents::{Contents, Documents};
use crate::history::{History, name_of};
use crate::route_tests;

/// A document that is not the same in both.
#[derive(Debug, PartialEq, Serialize)]
struct FileDifference {
    change: Change,
    path: String,
}

pub(super) async fn diff(
    history: &History,
    [before, after]: [&str; 2],
    options: &mesh::Options,
    output: Output,
) -> anyhow::Result<Verdict> {
    let (before, after) = (history.find(before).await?, history.find(after).await?);
    let (before, after) = (before.generation, after.generation);
    let old = history.documents(before.id).await?;
    let new = history.documents(after.id).await?;
    let files = files(&old, &new);
    let requests = match (
        mesh_of(&before.source, &old, options),
        mesh_of(&after.source, &new, options),
    ) {
        (Some(old), Some(new)) => Some(Differences::between(&old, &new)),
        // They were fine for the process that serves, which may have other labels.
        _ => None,
    };
    if let Output::Json = output {
        return read::json_out(&json!({
            "before": before.id,
            "after": after.id,
            "files": files,
            "requests": requests,
        }));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "from {} to {}", name_of(&before), name_of(&after))?;
    match requests {
        Some(requests) if !requests.is_empty() => requests.write_text(&mut out)?,
        Some(_) => write_files("no difference for requests", &files, &mut out)?,
        None => {
            let why =
                "the documents of one of them have errors here (see --labels and --namespace)";
            write_files(why, &files, &mut out)?;
        }
    }
    out.flush()?;
    Ok(Verdict::Good)
}

fn write_files(why: &str, files: &[FileDifference], out: &mut impl Write) -> io::Result<()> {
    if files.is_empty() {
        return writeln!(out, "{why}; the documents are the same");
    }
    writeln!(out, "{why}; of the documents:")?;
    for file in files {
        let mark = match file.change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Changed => '~',
        };
        writeln!(out, "{mark} {}", file.path)?;
    }
    Ok(())
}

/// Documents that are not the same, by path.
fn files(before: &[Document], after: &[Document]) -> Vec<FileDifference> {
    let texts = |documents: &'_ [Document]| -> BTreeMap<String, String> {
        let documents = documents.iter();
        documents
            .map(|document| (document.path.clone(), document.text.clone()))
            .collect()
    };
    let (mut old, new) = (texts(before), texts(after));
    let mut differences = Vec::new();
    for (path, text) in new {
        let change = match old.remove(&path) {
            Some(before) if before == text => continue,
            Some(_) => Change::Changed,
            None => Change::Added,
        };
        differences.push(FileDifference { change, path });
    }
    let removed = old.into_keys().map(|path| FileDifference {
        change: Change::Removed,
        path,
    });
    differences.extend(removed);
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    differences
}

fn mesh_of(source: &str, documents: &[Document], options: &mesh::Options) -> Option<Mesh> {
    let mut contents = Contents::default();
    for document in documents {
        if !route_tests::is_test_file(&document.text) {
            contents.files.push(SourceFile {
                path: Path::new(source).join(&document.path),
                text: document.text.clone(),
            });
        }
    }
    Documents::from_contents(contents, options).mesh
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_by_path() {
        let document = |path: &str, text: &str| Document {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let before = [document("b", "1"), document("a", "1"), document("c", "1")];
        let after = [document("d", "1"), document("a", "2"), document("b", "1")];
        let mut out = Vec::new();
        write_files("so", &files(&before, &after), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "so; of the documents:\n~ a\n- c\n+ d\n"
        );
        assert_eq!(files(&before, &before), []);
    }
}
