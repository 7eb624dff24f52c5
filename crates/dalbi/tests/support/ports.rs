//! Ports that nobody uses.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

/// Offsets given out in this process, for ever: tests run side by side.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// An offset by which all of `ports` can be shifted to free ones, below the kernel's own range of ports.
pub fn free_offset(ports: &[u16]) -> u16 {
    let mut given = GIVEN.lock().unwrap();
    let given = given.get_or_insert_default();
    // Seeded by the process id: test binaries that run side by side look in different places.
    let mut rng = fastrand::Rng::with_seed(u64::from(std::process::id()));
    for _ in 0..10_000 {
        let offset = rng.u16(1000..16_000);
        let free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port + offset)).is_ok();
        let near_others = given.iter().any(|other: &u16| {
            ports
                .iter()
                .any(|port| ports.contains(&(port + offset).wrapping_sub(*other)))
        });
        if !near_others && ports.iter().all(free) {
            given.insert(offset);
            return offset;
        }
    }
    panic!("no offset shifts {ports:?} to free ports");
}

/// Above what [`free_offset`] leads to and below the kernel's own range, so that no client's connection is in the way.
const PORTS: std::ops::Range<u16> = 31_100..32_700;

/// How many ports were asked for in this process: none is given out twice.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// One port that was free a moment ago.
pub fn free_port() -> u16 {
    let count = PORTS.end - PORTS.start;
    // Test binaries that run side by side look in different places.
    let start = (std::process::id() * 97 % u32::from(count)) as u16;
    for _ in 0..count {
        let port = PORTS.start + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free");
}
