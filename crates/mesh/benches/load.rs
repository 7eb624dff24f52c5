//! What loading a large folder costs, and what routing a request does then: `cargo bench -p mesh`.
//!
//! Milliseconds per load (the fastest of several, which a busy machine disturbs least), nanoseconds per route.

#![expect(
    clippy::disallowed_types,
    reason = "a benchmark needs a clock; the crate itself has none"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use mesh::{Mesh, Options, SourceFile, load};

use folder::{LARGE, MANY_RULES, Size, folder};
use request::Request;

#[path = "../tests/it/folder.rs"]
mod folder;
#[path = "../tests/it/request.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod request;

fn main() {
    let few_hosts = Size {
        services: 10,
        ..LARGE
    };
    let many_hosts = Size {
        services: 10_000,
        rules: 2,
        endpoints: 1,
    };
    time_load(LARGE, 20);
    time_load(MANY_RULES, 3);
    for path in [
        "/",
        "/api/v1/orders/12345",
        "/static/js/app.3f9a.min.js?v=12",
    ] {
        time_normalize(path);
    }
    for size in [few_hosts, many_hosts, MANY_RULES] {
        let mesh = loaded(&folder(size));
        time_route(&mesh, size, "", "/api/v1");
        // Past every rule but the last.
        time_route(&mesh, size, "", "/other");
        time_route(&mesh, size, ".default.svc.cluster.local:80", "/api/v1");
    }
}

fn loaded(files: &[SourceFile]) -> Mesh {
    let loaded = load(files, &Options::default());
    assert_eq!(loaded.diagnostics, []);
    loaded.mesh.expect("there are no errors")
}

fn time_load(size: Size, rounds: usize) {
    let files = folder(size);
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    let fastest = (0..rounds).map(|_| {
        let started = Instant::now();
        let mesh = loaded(&files);
        let took = started.elapsed();
        drop(mesh);
        took
    });
    println!(
        "load {} services, {} endpoints, {} rules, {:.1} MB: {:.1} ms",
        size.services,
        size.services * size.endpoints,
        size.services * size.rules,
        bytes as f64 / 1e6,
        fastest.min().unwrap_or(Duration::MAX).as_secs_f64() * 1e3,
    );
}

/// What a path costs that is normal already.
fn time_normalize(path: &str) {
    const PATHS: usize = 1 << 22;
    let fastest = (0..5).map(|_| {
        let started = Instant::now();
        for _ in 0..PATHS {
            black_box(mesh::normalize(black_box(path)));
        }
        started.elapsed()
    });
    let fastest = fastest.min().unwrap_or(Duration::MAX);
    println!(
        "normalize {path}: {:.1} ns",
        fastest.as_secs_f64() * 1e9 / PATHS as f64
    );
}

fn time_route(mesh: &Mesh, size: Size, suffix: &str, path: &str) {
    const REQUESTS: usize = 1 << 20;
    // Few enough to stay in the cache, so that the number of hosts is all that differs.
    let requests: Vec<_> = (0..10)
        .map(|number| {
            let number = number * size.services / 10;
            let line = format!("mesh GET http://s{number}{suffix}{path} end-user=jason");
            Request::parse(&line)
        })
        .collect();
    let fastest = (0..5).map(|_| {
        let started = Instant::now();
        for request in requests.iter().cycle().take(REQUESTS) {
            black_box(mesh.route(0, black_box(request), 0));
        }
        started.elapsed()
    });
    let fastest = fastest.min().unwrap_or(Duration::MAX);
    println!(
        "route among {} hosts of {} rules (`s0{suffix}{path}`): {:.0} ns",
        size.services,
        size.rules,
        fastest.as_secs_f64() * 1e9 / REQUESTS as f64,
    );
}
