//! `bench relay`, the floor.

use anyhow::Result;

use super::{Bench, Peer, RunningPeer, own_path};

pub(super) fn start(bench: &mut Bench) -> Result<RunningPeer> {
    let site = bench.site(Peer::Relay)?;
    let mut command = vec![
        own_path()?,
        "relay".to_owned(),
        "--listen".to_owned(),
        format!("127.0.0.1:{}", site.http),
    ];
    for port in site.upstreams {
        command.extend(["--to".to_owned(), format!("127.0.0.1:{port}")]);
    }
    bench.launch(
        Peer::Relay,
        env!("CARGO_PKG_VERSION").to_owned(),
        &site,
        &command,
    )
}
