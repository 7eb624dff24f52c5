//! Two connections joined after `101 Switching Protocols` (WebSocket).

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use crate::buffer::Buffer;
use crate::exchange::alongside::Watch;
use crate::timer::Timer;
use crate::transport::{Io, shutdown, write_all};

/// How long nothing may move once one end has closed: a peer that is gone looks like one that only reads on, and would
/// hold its place for the whole idle timeout.
const HALF_CLOSED_IDLE: Duration = Duration::from_secs(60);

/// One end of a tunnel.
pub(crate) struct TunnelEnd<'t> {
    pub(crate) io: &'t RefCell<Io>,
    /// What it sent right behind its head.
    pub(crate) buffer: &'t mut Buffer,
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelEnded {
    /// Both ends have closed, one after the other.
    Closed,
    /// One failed.
    Broken,
    /// Nothing moved for too long.
    Idle,
}

/// Passes bytes both ways until both ends have closed, one fails, or nothing moves for the idle timeout,
/// which is a minute at most once one end has closed. `moved` is
/// told of bytes received from and sent to `client`. However it ends, both connections are to be closed: there is
/// nothing to tell either side.
pub(crate) async fn join(
    client: TunnelEnd<'_>,
    endpoint: TunnelEnd<'_>,
    watch: &Watch,
    timer: &mut Timer,
    moved: impl Fn(u64, u64),
) -> TunnelEnded {
    let up = pass(client.io, client.buffer, endpoint.io, |bytes| {
        watch.moved(bytes);
        moved(bytes as u64, 0);
    });
    let down = pass(endpoint.io, endpoint.buffer, client.io, |bytes| {
        watch.moved(bytes);
        moved(0, bytes as u64);
    });
    let ended = |passed: io::Result<()>| {
        watch.shorten(HALF_CLOSED_IDLE);
        passed
    };
    let up = async { ended(up.await) };
    let down = async { ended(down.await) };
    let both = async { Ok(tokio::try_join!(up, down)) };
    match watch.run(None, timer, both).await {
        Ok(Ok(_)) => TunnelEnded::Closed,
        Ok(Err(_)) => TunnelEnded::Broken,
        Err(_) => TunnelEnded::Idle,
    }
}

async fn pass(
    from: &RefCell<Io>,
    buffer: &mut Buffer,
    to: &RefCell<Io>,
    moved: impl Fn(usize),
) -> io::Result<()> {
    loop {
        let count = buffer.filled().len();
        if count > 0 {
            write_all(to, buffer.filled(), &[]).await?;
            buffer.consume(count);
            moved(count);
        }
        if buffer.fill(from).await? == 0 {
            return shutdown(to).await;
        }
    }
}
