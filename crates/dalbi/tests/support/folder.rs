//! Folders of documents.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder that is removed with its value.
pub struct Folder(TempDir);

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A copy of one of the repository's examples, in which `replacements` of text were made.
    pub fn of_example(name: &str, replacements: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        for entry in fs::read_dir(example(name)).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                let mut text = fs::read_to_string(&path).unwrap();
                for (from, to) in replacements {
                    text = text.replace(from, to);
                }
                folder.write(path.file_name().unwrap().to_str().unwrap(), &text);
            }
        }
        folder
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file in one step, as an editor that renames does.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        let fresh = self.path().join(format!(".{name}.new"));
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, path).unwrap();
    }
}

/// The folder of one of the repository's examples.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
}
