//! Two connections joined after `101 Switching Protocols` (WebSocket).

use std::cell::RefCell;
use std::io;

use crate::buffer::Buffer;
use crate::exchange::alongside::Watch;
use crate::timer::Timer;
use crate::transport::{Io, shutdown, write_all};

/// One end of a tunnel.
pub(crate) struct TunnelEnd<'t> {
    pub(crate) io: &'t RefCell<Io>,
    /// What it sent right behind its head.
    pub(crate) buffer: &'t mut Buffer,
}

/// Passes bytes both ways until both ends have closed, one fails, or nothing moves for the idle timeout.
/// Returns the bytes received from and sent to `client`.
pub(crate) async fn join(
    client: TunnelEnd<'_>,
    endpoint: TunnelEnd<'_>,
    watch: &Watch,
    timer: &mut Timer,
) -> (u64, u64) {
    let (mut received, mut sent) = (0, 0);
    let up = pass(client.io, client.buffer, endpoint.io, watch, &mut received);
    let down = pass(endpoint.io, endpoint.buffer, client.io, watch, &mut sent);
    // However it ends, both connections are closed: there is nothing to tell either side.
    drop(
        watch
            .run(None, timer, async { Ok(tokio::try_join!(up, down)) })
            .await,
    );
    (received, sent)
}

async fn pass(
    from: &RefCell<Io>,
    buffer: &mut Buffer,
    to: &RefCell<Io>,
    watch: &Watch,
    bytes: &mut u64,
) -> io::Result<()> {
    loop {
        let count = buffer.filled().len();
        if count > 0 {
            write_all(to, buffer.filled(), &[]).await?;
            buffer.consume(count);
            watch.moved(count);
            *bytes += count as u64;
        }
        if buffer.fill(from).await? == 0 {
            return shutdown(to).await;
        }
    }
}
