//! What the two processes send each other.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Most descriptors of one message: SCM_MAX_FD of Linux is 253.
const BATCH: usize = 200;

/// Bytes of a text: what balancers have learned of 100,000 endpoints fits.
const MAX_TEXT: u32 = 256 * 1024 * 1024;

/// New to old: it serves.
pub(super) const READY: u8 = b'R';
/// Old to new: the store is free.
pub(super) const RELEASED: u8 = b'L';
/// New to old: it has the store; the old one can go.
pub(super) const TAKEN: u8 = b'T';

/// What comes first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Greeting {
    /// The generation that serves, 64 hexadecimal digits; none is the rescue generation.
    pub(super) generation: Option<String>,
    /// How many listening sockets follow.
    pub(super) sockets: usize,
    /// The last of them is the admin server's.
    pub(super) admin: bool,
    /// What balancers have learned.
    pub(super) learned: serde_json::Value,
}

pub(super) fn send_text(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(value)?;
    let length = u32::try_from(text.len())
        .ok()
        .filter(|length| *length <= MAX_TEXT);
    let length = length.ok_or_else(|| io::Error::other("too much to hand over"))?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&text)
}

pub(super) fn receive_text<T: for<'t> Deserialize<'t>>(stream: &mut UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_TEXT {
        return Err(io::Error::other(format!(
            "{length} bytes are announced, more than {MAX_TEXT}"
        )));
    }
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

pub(super) fn send_sockets(stream: &UnixStream, sockets: &[TcpListener]) -> io::Result<()> {
    for batch in sockets.chunks(BATCH) {
        let descriptors: Vec<_> = batch.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("too many sockets for one message"));
        }
        // A message needs a byte to travel with.
        sendmsg(
            stream,
            &[IoSlice::new(b"F")],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
    }
    Ok(())
}

pub(super) fn receive_sockets(stream: &UnixStream, count: usize) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::new();
    while sockets.len() < count {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let received = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut byte)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let before = sockets.len();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                sockets
                    .extend(descriptors.map(|descriptor: OwnedFd| TcpListener::from(descriptor)));
            }
        }
        if received.bytes == 0 || sockets.len() == before {
            return Err(io::Error::other(
                "the sockets did not come; is the limit on open files reached?",
            ));
        }
    }
    Ok(sockets)
}

pub(super) fn send_word(stream: &mut UnixStream, word: u8) -> io::Result<()> {
    stream.write_all(&[word])
}

pub(super) fn expect_word(stream: &mut UnixStream, word: u8) -> io::Result<()> {
    let mut received = [0];
    stream.read_exact(&mut received)?;
    if received[0] != word {
        let (received, word) = (char::from(received[0]), char::from(word));
        return Err(io::Error::other(format!(
            "the other process said {received:?} instead of {word:?}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_sockets_than_one_message_takes_arrive_in_order() {
        let (left, right) = UnixStream::pair().unwrap();
        let sockets: Vec<_> = (0..BATCH + 7)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        send_sockets(&left, &sockets).unwrap();
        let received = receive_sockets(&right, sockets.len()).unwrap();
        let addresses = |sockets: &[TcpListener]| -> Vec<_> {
            sockets
                .iter()
                .map(|socket| socket.local_addr().unwrap())
                .collect()
        };
        assert_eq!(addresses(&received), addresses(&sockets));
    }

    #[test]
    fn a_process_that_goes_away_is_noticed() {
        let (left, mut right) = UnixStream::pair().unwrap();
        drop(left);
        assert!(receive_sockets(&right, 1).is_err());
        assert!(expect_word(&mut right, READY).is_err());
        assert!(receive_text::<Greeting>(&mut right).is_err());
    }

    #[test]
    fn an_absurd_length_is_refused_before_memory_is_asked_for() {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        left.write_all(&u32::MAX.to_be_bytes()).unwrap();
        let error = receive_text::<Greeting>(&mut right).unwrap_err();
        assert!(error.to_string().contains("4294967295"), "{error}");
    }
}
