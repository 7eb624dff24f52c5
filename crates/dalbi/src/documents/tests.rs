//! Reading folders as they are found in the wild.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use std::time::Duration;

use super::{Contents, Documents, FolderError, FolderWatch, read};

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
fn documents_that_let_nobody_in_are_noticed() {
    const GATEWAY: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: { name: a }\n\
        spec: { selector: { istio: a }, servers: [{ port: { number: 80, name: a, protocol: HTTP }, hosts: ['*'] }] }\n";
    let absence = |texts: &[&str], label: Option<&str>| {
        let files = texts.iter().map(|text| mesh::SourceFile {
            path: "a.yaml".into(),
            text: (*text).to_owned(),
        });
        let contents = Contents {
            files: files.collect(),
            problems: Vec::new(),
            tests: Vec::new(),
        };
        let options = mesh::Options {
            labels: label.map(|label| [("istio".to_owned(), label.to_owned())].into()),
            ..mesh::Options::default()
        };
        Documents::from_contents(contents, &options).absence(&options)
    };
    assert_eq!(absence(&[GATEWAY], None), None);
    assert_eq!(absence(&[GATEWAY], Some("a")), None);
    assert!(absence(&[GATEWAY], Some("b")).unwrap().contains("--labels"));
    assert!(absence(&[], None).unwrap().contains("*.yaml"));
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: { name: a }\n";
    assert!(absence(&[job], None).unwrap().contains("no port"));
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

/// Runs `change` and waits until the watcher has noticed it.
async fn noticed(watcher: &mut FolderWatch, change: impl FnOnce()) -> Vec<String> {
    change();
    tokio::time::timeout(Duration::from_secs(20), watcher.changed())
        .await
        .expect("the change is noticed");
    watcher
        .read()
        .unwrap()
        .files
        .into_iter()
        .map(|file| file.text)
        .collect()
}

#[tokio::test]
async fn edits_new_folders_and_swapped_links_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("current");
    let elsewhere = folder.path().join("elsewhere/b.yaml");
    write(&folder.path().join("one/a.yaml"), "a1");
    write(&elsewhere, "b1");
    symlink(&elsewhere, folder.path().join("one/b.yaml")).unwrap();
    symlink("one", &root).unwrap();

    let mut watcher = FolderWatch::new(&root);
    watcher.read().unwrap();
    assert_eq!(
        noticed(&mut watcher, || write(&root.join("a.yaml"), "a2")).await,
        ["a2", "b1"]
    );
    assert_eq!(
        noticed(&mut watcher, || write(&elsewhere, "b2")).await,
        ["a2", "b2"]
    );
    let into_new_folder = || write(&root.join("sub/c.yaml"), "c1");
    assert_eq!(
        noticed(&mut watcher, into_new_folder).await,
        ["a2", "b2", "c1"]
    );
    let over = || {
        write(&folder.path().join("fresh"), "a3");
        fs::rename(folder.path().join("fresh"), root.join("a.yaml")).unwrap();
    };
    assert_eq!(noticed(&mut watcher, over).await, ["a3", "b2", "c1"]);
    let swap = || {
        write(&folder.path().join("two/a.yaml"), "a4");
        symlink("two", folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &root).unwrap();
    };
    assert_eq!(noticed(&mut watcher, swap).await, ["a4"]);
    let in_the_swapped = || write(&folder.path().join("two/a.yaml"), "a5");
    assert_eq!(noticed(&mut watcher, in_the_swapped).await, ["a5"]);
}

#[tokio::test]
async fn reading_is_no_change() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.yaml"), "a1");
    let mut watcher = FolderWatch::new(folder.path());
    watcher.read().unwrap();
    read(folder.path()).unwrap();
    // The edit is the first thing that is noticed, though the folder was read before it.
    let changed = tokio::time::timeout(Duration::from_millis(300), watcher.changed()).await;
    assert!(changed.is_err(), "reading the folder counted as a change");
    assert_eq!(
        noticed(&mut watcher, || write(&folder.path().join("a.yaml"), "a2")).await,
        ["a2"]
    );
}
