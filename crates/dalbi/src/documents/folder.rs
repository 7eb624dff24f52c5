//! Finds and reads the document files below a folder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mesh::{Diagnostic, Severity, Source, SourceFile};

use crate::route_tests;

/// Folders nested deeper are an error: nobody writes such a tree, a loop of mounts does.
const MAX_DEPTH: usize = 32;
/// A larger file is an error: ten thousand endpoints take 2 MB.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// What document files are called.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The text of every document file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    /// In order of path.
    pub(crate) files: Vec<SourceFile>,
    /// Those with test cases for `dalbi test`, which are no part of the mesh; in order of path.
    pub(crate) tests: Vec<SourceFile>,
    /// Files and folders that could not be read.
    pub(crate) problems: Vec<Diagnostic>,
}

/// The folder itself cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("`{}` does not exist; name a folder with Istio documents, for example examples/hello", .0.display())]
    Missing(PathBuf),
    #[error("read `{}`: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
}

/// Reads every `*.yaml`, `*.yml` and `*.json` below `root`, or `root` itself if it is a file.
///
/// Names that begin with a dot are skipped, and symbolic links are followed: in a mounted Kubernetes
/// ConfigMap `a.yaml` links to `..data/a.yaml`, and `..data` to a folder that is swapped as a whole.
pub(crate) fn read(root: &Path) -> Result<Contents, FolderError> {
    let metadata = fs::metadata(root).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FolderError::Missing(root.to_owned()),
        _ => FolderError::Unreadable {
            path: root.to_owned(),
            source,
        },
    })?;
    let mut reader = Reader::default();
    if metadata.is_dir() {
        // The root's own failure is not one of many problems: there is nothing to serve.
        fs::read_dir(root).map_err(|source| FolderError::Unreadable {
            path: root.to_owned(),
            source,
        })?;
        reader.folder(root, 0);
    } else {
        reader.file(root);
    }
    Ok(reader.contents)
}

#[derive(Default)]
struct Reader {
    contents: Contents,
    /// Real paths of the folders being read: a link back to one of them is not followed.
    open_folders: BTreeSet<PathBuf>,
}

impl Reader {
    fn folder(&mut self, path: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            self.problem(
                path,
                format!("folders are nested more than {MAX_DEPTH} deep"),
            );
            return;
        }
        let entries =
            fs::canonicalize(path).and_then(|real_path| Ok((real_path, sorted_entries(path)?)));
        let (real_path, entries) = match entries {
            Ok(entries) => entries,
            Err(error) => return self.problem(path, format!("folder cannot be read: {error}")),
        };
        if !self.open_folders.insert(real_path.clone()) {
            return;
        }
        for entry in entries {
            match fs::metadata(&entry) {
                Ok(metadata) if metadata.is_dir() => self.folder(&entry, depth + 1),
                Ok(metadata) if metadata.is_file() && is_document(&entry) => self.file(&entry),
                Err(error) if is_document(&entry) => {
                    self.problem(&entry, format!("file cannot be read: {error}"));
                }
                // A dangling link or socket of another name is not ours to complain of.
                Ok(_) | Err(_) => {}
            }
        }
        self.open_folders.remove(&real_path);
    }

    fn file(&mut self, path: &Path) {
        let size_bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        if size_bytes > MAX_FILE_BYTES {
            let limit = MAX_FILE_BYTES / (1024 * 1024);
            return self.problem(
                path,
                format!("file has {size_bytes} bytes, more than {limit} MiB; split it"),
            );
        }
        match fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => {
                let files = if route_tests::is_test_file(&text) {
                    &mut self.contents.tests
                } else {
                    &mut self.contents.files
                };
                files.push(SourceFile {
                    path: path.to_owned(),
                    text,
                });
            }
            Ok(Err(error)) => {
                let at = error.utf8_error().valid_up_to();
                self.problem(
                    path,
                    format!("file is not UTF-8: byte {at} begins no character; save it as UTF-8"),
                );
            }
            Err(error) => self.problem(path, format!("file cannot be read: {error}")),
        }
    }

    fn problem(&mut self, path: &Path, message: String) {
        self.contents.problems.push(Diagnostic {
            severity: Severity::Error,
            code: None,
            source: Source {
                file: path.into(),
                line: 1,
                column: 1,
                document: 1,
            },
            object: String::new(),
            field: String::new(),
            message,
            help: None,
        });
    }
}

/// Entries in order of name, without hidden ones.
fn sorted_entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}

fn is_document(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}
