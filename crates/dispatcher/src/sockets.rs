//! Listening sockets: opened here, or inherited from the process before or from the service manager.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections that may wait to be accepted, per worker and listener; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// What a process takes over from the one before it, or from the service manager.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Sockets that listen already, in any number per address. Those of a listener's address are used in place of new
    /// ones, every one of them. The others are closed: what waits in their queues stays with whoever else holds them.
    pub sockets: Vec<TcpListener>,
    /// What [`Dispatcher::learned`](crate::Dispatcher::learned) told there. What can't be used of it is left out.
    pub learned: Option<serde_json::Value>,
}

/// Inherited sockets that no listener has claimed yet.
#[derive(Debug, Default)]
pub(crate) struct Unclaimed(Vec<(SocketAddr, TcpListener)>);

impl Unclaimed {
    /// Makes them fit for serving. One that can't be is left out, with a warning.
    pub(crate) fn new(sockets: Vec<TcpListener>) -> Self {
        let fit = |socket: TcpListener| {
            socket.set_nonblocking(true)?;
            // Accepted sockets inherit it.
            SockRef::from(&socket).set_tcp_nodelay(true)?;
            Ok((socket.local_addr()?, socket))
        };
        let fit = sockets.into_iter().filter_map(|socket| match fit(socket) {
            Ok(fit) => Some(fit),
            Err(error) => {
                let error: io::Error = error;
                tracing::warn!(%error, "an inherited socket can't be used; does it listen for TCP?");
                None
            }
        });
        Self(fit.collect())
    }

    /// The sockets of an address, dealt out to `workers`, each of which gets at least one; `None` where there is none.
    ///
    /// # Errors
    /// There are fewer sockets than workers, and one can't be duplicated.
    pub(crate) fn claim(
        &mut self,
        address: SocketAddr,
        workers: usize,
    ) -> Option<io::Result<Vec<Vec<TcpListener>>>> {
        let exact = |(local, _): &(SocketAddr, TcpListener)| *local == address;
        let mut claimed = self.remove(exact);
        if claimed.is_empty() {
            // `ListenStream=80` of a systemd socket is all of IPv6 and IPv4 at once.
            let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
            let takes_both =
                |socket: &TcpListener| matches!(SockRef::from(socket).only_v6(), Ok(false));
            if address.is_ipv4() && address.ip().is_unspecified() {
                claimed = self.remove(|(local, socket)| *local == everywhere && takes_both(socket));
            }
        }
        (!claimed.is_empty()).then(|| deal(claimed, workers))
    }

    fn remove(&mut self, wanted: impl Fn(&(SocketAddr, TcpListener)) -> bool) -> Vec<TcpListener> {
        let (claimed, left) = std::mem::take(&mut self.0).into_iter().partition(wanted);
        self.0 = left;
        claimed.into_iter().map(|(_, socket)| socket).collect()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        for (address, _) in &self.0 {
            tracing::warn!(%address, "no listener has the address of an inherited socket; it is closed");
        }
    }
}

/// Each socket to one worker. With fewer than workers, some share one: each accepts from the same queue.
fn deal(sockets: Vec<TcpListener>, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut hands: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for worker in sockets.len()..workers {
        hands[worker].push(sockets[worker % sockets.len()].try_clone()?);
    }
    for (position, socket) in sockets.into_iter().enumerate() {
        hands[position % workers].push(socket);
    }
    Ok(hands)
}

/// Fails where another process listens. Sockets that share a port don't notice each other, and two
/// dispatchers on one port would each get half of the traffic.
pub(crate) fn probe(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// Listens; `shared`: with other sockets of the same address.
pub(crate) fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn socket() -> TcpListener {
        listen((Ipv4Addr::LOCALHOST, 0).into(), true).unwrap()
    }

    fn sharing(address: SocketAddr, count: usize) -> Vec<TcpListener> {
        (0..count).map(|_| listen(address, true).unwrap()).collect()
    }

    fn hands(sockets: usize, workers: usize) -> Vec<usize> {
        let first = socket();
        let address = first.local_addr().unwrap();
        let mut all = sharing(address, sockets - 1);
        all.push(first);
        let mut unclaimed = Unclaimed::new(all);
        let hands = unclaimed.claim(address, workers).unwrap().unwrap();
        assert!(unclaimed.0.is_empty());
        for socket in hands.iter().flatten() {
            assert_eq!(socket.local_addr().unwrap(), address);
        }
        hands.iter().map(Vec::len).collect()
    }

    #[test]
    fn every_socket_is_used_and_every_worker_has_one() {
        assert_eq!(hands(2, 2), [1, 1]);
        assert_eq!(hands(5, 2), [3, 2]);
        assert_eq!(hands(2, 5), [1, 1, 1, 1, 1]);
    }

    #[test]
    fn other_addresses_are_left_alone() {
        let (mine, other) = (socket(), socket());
        let (address, left) = (mine.local_addr().unwrap(), other.local_addr().unwrap());
        let mut unclaimed = Unclaimed::new(vec![mine, other]);
        assert!(unclaimed.claim(address, 1).is_some());
        assert!(unclaimed.claim(address, 1).is_none());
        assert_eq!(unclaimed.0[0].0, left);
    }

    #[test]
    fn a_socket_of_both_families_serves_all_of_ipv4() {
        let Ok(both) = listen((Ipv6Addr::UNSPECIFIED, 0).into(), true) else {
            // No IPv6 here: nobody can inherit such a socket.
            return;
        };
        let port = both.local_addr().unwrap().port();
        let mut unclaimed = Unclaimed::new(vec![both]);
        assert!(unclaimed.claim(([127, 0, 0, 1], port).into(), 1).is_none());
        let everywhere = (Ipv4Addr::UNSPECIFIED, port);
        assert!(unclaimed.claim(everywhere.into(), 1).is_some());
    }
}
