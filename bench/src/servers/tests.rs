//! Both servers, asked over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

fn upstream() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || super::upstream::serve(vec![socket]).unwrap());
    address
}

fn relay(to: SocketAddr) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || super::relay::serve(socket, &[to]).unwrap());
    address
}

/// One answer of a kept connection: status line and body length.
fn read_answer(reader: &mut impl BufRead) -> (String, usize) {
    let mut status = String::new();
    reader.read_line(&mut status).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (status.trim().to_owned(), body.len())
}

fn answers_of_every_kind(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    // Split inside the head, then two requests in one piece.
    stream.write_all(b"GET /1k HTTP/1.1\r\nHost: a").unwrap();
    stream.flush().unwrap();
    stream.write_all(b"\r\n\r\n").unwrap();
    assert_eq!(
        read_answer(&mut reader),
        ("HTTP/1.1 200 OK".to_owned(), 1024)
    );
    stream
        .write_all(b"GET /100k HTTP/1.1\r\nHost: a\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert_eq!(
        read_answer(&mut reader),
        ("HTTP/1.1 200 OK".to_owned(), 102_400)
    );
    assert_eq!(
        read_answer(&mut reader),
        ("HTTP/1.1 404 Not Found".to_owned(), 0)
    );
    stream
        .write_all(b"GET /100k HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert_eq!(
        read_answer(&mut reader),
        ("HTTP/1.1 200 OK".to_owned(), 102_400)
    );
    assert_eq!(
        reader.read(&mut [0; 16]).unwrap(),
        0,
        "closed after the last answer"
    );
}

#[test]
fn upstream_answers() {
    answers_of_every_kind(upstream());
}

#[test]
fn relay_passes_everything_on() {
    answers_of_every_kind(relay(upstream()));
}

#[test]
fn relay_waits_for_a_slow_reader() {
    let mut stream = TcpStream::connect(relay(upstream())).unwrap();
    // Far more than the sockets on the way hold, all asked for before the first byte is read.
    const REQUESTS: usize = 200;
    stream
        .write_all(&b"GET /100k HTTP/1.1\r\nHost: a\r\n\r\n".repeat(REQUESTS))
        .unwrap();
    let mut reader = BufReader::new(stream);
    for _ in 0..REQUESTS {
        assert_eq!(read_answer(&mut reader).1, 102_400);
    }
}

#[test]
fn relay_closes_when_the_client_does() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(relay(backend.local_addr().unwrap())).unwrap();
    let (mut accepted, _) = backend.accept().unwrap();
    drop(client);
    assert_eq!(accepted.read(&mut [0; 16]).unwrap(), 0);
}
