//! Reading folders as they are found in the wild.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{FolderError, read};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn names(root: &Path) -> Vec<String> {
    let contents = read(root).unwrap();
    assert!(contents.problems.is_empty(), "{:?}", contents.problems);
    let name =
        |file: &mesh::SourceFile| file.path.strip_prefix(root).unwrap().display().to_string();
    contents.files.iter().map(name).collect()
}

#[test]
fn documents_are_found_in_order_and_hidden_names_skipped() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "b.yaml",
        "a.yml",
        "sub/c.json",
        ".git/d.yaml",
        ".e.yaml",
        "notes.md",
        "a.yaml.bak",
    ] {
        write(&folder.path().join(name), "");
    }
    assert_eq!(names(folder.path()), ["a.yml", "b.yaml", "sub/c.json"]);
}

#[test]
fn a_single_file_is_a_folder_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.txt");
    write(&file, "kind: X");
    assert_eq!(read(&file).unwrap().files[0].text, "kind: X");
}

#[test]
fn a_config_map_is_read_once_and_swaps_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(&root.join("..2026_1/a.yaml"), "first");
    write(&root.join("..2026_2/a.yaml"), "second");
    symlink("..2026_1", root.join("..data")).unwrap();
    symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    assert_eq!(names(root), ["a.yaml"]);
    assert_eq!(read(root).unwrap().files[0].text, "first");

    symlink("..2026_2", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    assert_eq!(read(root).unwrap().files[0].text, "second");
}

#[test]
fn a_link_to_a_folder_above_ends() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("sub/a.yaml"), "");
    symlink("..", folder.path().join("sub/up")).unwrap();
    assert_eq!(names(folder.path()), ["sub/a.yaml"]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("latin.yaml"), b"name: caf\xe9").unwrap();
    symlink("nowhere", folder.path().join("dangling.yaml")).unwrap();
    let contents = read(folder.path()).unwrap();
    let messages: Vec<_> = contents
        .problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    assert!(
        messages[0].starts_with("file cannot be read: "),
        "{messages:?}"
    );
    assert!(messages[1].contains("not UTF-8: byte 9"), "{messages:?}");
    assert_eq!(messages.len(), 2);

    let missing = folder.path().join("missing");
    let error = read(&missing).unwrap_err();
    assert!(matches!(error, FolderError::Missing(path) if path == missing));
}
