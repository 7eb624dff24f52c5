//! What a large mesh takes to hold, in a process of its own: other tests would be counted too.

#![expect(
    clippy::disallowed_methods,
    reason = "the kernel says in a file what a process holds"
)]

use mesh::{Options, load};

use folder::{MANY_RULES, folder};

#[path = "it/folder.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod folder;

/// Of this process now; `None` where there is no such file.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[test]
fn ten_thousand_services_of_ten_rules_fit() {
    const LIMIT: usize = 400 << 20;
    let files = folder(MANY_RULES);
    let mesh = || {
        let loaded = load(&files, &Options::default());
        assert_eq!(loaded.diagnostics.first(), None);
        loaded.mesh.expect("there are no errors")
    };
    // The first leaves behind what loading itself took, in which the second then loads.
    let first = mesh();
    let Some(before) = resident_bytes() else {
        eprintln!("SKIPPED (loud): mesh-memory: /proc/self/status is not there");
        return;
    };
    let second = mesh();
    let held = resident_bytes()
        .expect("the file was there")
        .saturating_sub(before);
    assert_eq!(
        (first.clusters.len(), second.clusters.len()),
        (20_000, 20_000)
    );
    println!("{} MiB are held", held >> 20);
    assert!(held < LIMIT, "{held} bytes are held, the limit is {LIMIT}");
}
