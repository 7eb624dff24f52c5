//! WebSocket clients and servers that nobody here wrote, through dalbi.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::{SinkExt, StreamExt};
use support::peers::{self, python_websockets};
use support::wire::{Wire, WireUpstream, header, in_time};
use support::{Dalbi, Folder, Process, Site, Upstream, free_port};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Echoes until the client closes, then tells how; closes by itself when asked to.
const SERVER: &str = r#"
import asyncio, sys
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

async def echo(socket):
    try:
        async for message in socket:
            if message == "close":
                await socket.close(4001, "as asked")
            elif message == "die":
                socket.transport.abort()
            else:
                await socket.send(message)
    except ConnectionClosed:
        pass
    await socket.wait_closed()
    print("closed", socket.close_code, socket.close_reason, flush=True)

async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None):
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"#;

/// Sends large messages both ways and tells what came of them.
const CLIENT: &str = r#"
import sys
from websockets.sync.client import connect

with connect(sys.argv[1], max_size=None, compression=sys.argv[2] if sys.argv[2] != "none" else None) as socket:
    for message in ["hello", "", "ü" * 100_000, bytes(range(256)) * 40_000]:
        socket.send(message)
        assert socket.recv(timeout=30) == message
    for number in range(200):
        socket.send(str(number))
    assert [socket.recv(timeout=30) for _ in range(200)] == [str(number) for number in range(200)]
    assert socket.ping().wait(30)
print("done", socket.protocol.close_code)
"#;

/// Python's server with dalbi before it.
struct Stage {
    server: Process,
    dalbi: Dalbi,
    _folder: Folder,
}

fn stage() -> Option<Stage> {
    let python = python_websockets()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let port = address.port().to_string();
    let server = peers::serve(&python, &["-c", SERVER, &port], address);
    let (dalbi, folder) = Site::to(&[address]).serve(&[]);
    Some(Stage {
        server,
        dalbi,
        _folder: folder,
    })
}

async fn tungstenite(dalbi: &Dalbi) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(dalbi.address(8080)).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async("ws://test/chat?x=1", stream)
        .await
        .unwrap();
    socket
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Option<Result<Message, Error>> {
    in_time("a message", socket.next()).await
}

#[tokio::test]
async fn a_python_client_to_the_test_server() {
    let Some(python) = python_websockets() else {
        return;
    };
    let upstream = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let url = format!("ws://{}/", dalbi.address(8080));
    let output = peers::run(&python, &["-c", CLIENT, &url, "none"]).await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "done 1000\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn a_python_client_to_a_python_server() {
    let Some(stage) = stage() else { return };
    let python = python_websockets().unwrap();
    let url = format!("ws://{}/", stage.dalbi.address(8080));
    for compression in ["none", "deflate"] {
        let output = peers::run(&python, &["-c", CLIENT, &url, compression]).await;
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "done 1000\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        stage.server.stdout_line("a close", |line| {
            line.starts_with("closed 1000").then_some(())
        });
    }
}

#[tokio::test]
async fn closes_are_passed_on_both_ways() {
    let Some(stage) = stage() else { return };
    let mut socket = tungstenite(&stage.dalbi).await;
    socket.send(Message::text("x")).await.unwrap();
    assert_eq!(
        next(&mut socket).await.unwrap().unwrap(),
        Message::text("x")
    );
    let close = CloseFrame {
        code: 4002.into(),
        reason: "enough".into(),
    };
    socket.close(Some(close)).await.unwrap();
    assert!(matches!(
        next(&mut socket).await,
        Some(Ok(Message::Close(_)))
    ));
    assert!(next(&mut socket).await.is_none());
    // The server waits for that, for a while.
    drop(socket);
    stage.server.stdout_line("a close", |line| {
        (line == "closed 4002 enough").then_some(())
    });

    let mut socket = tungstenite(&stage.dalbi).await;
    socket.send(Message::text("close")).await.unwrap();
    let Some(Ok(Message::Close(Some(close)))) = next(&mut socket).await else {
        panic!("the server closes");
    };
    assert_eq!(
        (u16::from(close.code), close.reason.as_str()),
        (4001, "as asked")
    );
    // Reading on is what sends the reply.
    assert!(next(&mut socket).await.is_none());
    drop(socket);
    stage.server.stdout_line("a close", |line| {
        (line == "closed 4001 as asked").then_some(())
    });

    // Either end may just vanish.
    let mut socket = tungstenite(&stage.dalbi).await;
    socket.send(Message::text("die")).await.unwrap();
    assert!(matches!(next(&mut socket).await, Some(Err(_))));
    let mut socket = tungstenite(&stage.dalbi).await;
    socket.send(Message::text("x")).await.unwrap();
    next(&mut socket).await.unwrap().unwrap();
    drop(socket);
    stage.server.stdout_line("a close without a frame", |line| {
        line.starts_with("closed 1006").then_some(())
    });
}

#[tokio::test]
async fn a_server_may_say_no() {
    let upstream = WireUpstream::answering(
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\nx-why: 1\r\n\r\nno\n",
    )
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let stream = TcpStream::connect(dalbi.address(8080)).await.unwrap();
    let refused = tokio_tungstenite::client_async("ws://test/", stream).await;
    let Err(Error::Http(response)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-why"]),
        (403, &"1".parse().unwrap())
    );
    let received = upstream.received().remove(0);
    let field = |name| header(&received, name).map(str::to_lowercase);
    assert_eq!(field("connection").as_deref(), Some("upgrade"));
    assert_eq!(field("upgrade").as_deref(), Some("websocket"));
}

#[tokio::test]
async fn bytes_right_behind_the_switch_are_not_lost() {
    let upstream = WireUpstream::start(async |_, mut wire: Wire| {
        wire.head().await;
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n";
        // One write: the first words come with the head.
        wire.send(format!("{head}welcome")).await;
        let said = wire.bytes(5).await;
        wire.send(said.to_ascii_uppercase()).await;
        // The client has ended its direction only.
        assert!(wire.rest().await.is_empty());
        wire.send("bye").await;
    })
    .await;
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[]);
    let mut client = Wire::connect(dalbi.address(8080)).await;
    client
        .send("GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\nhello")
        .await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "upgrade"), Some("chat"));
    client.half_close().await;
    assert_eq!(client.rest().await, b"welcomeHELLObye");
}

#[tokio::test]
async fn a_tunnel_that_is_used_outlives_idle_timeouts() {
    let upstream = Upstream::start(&[]);
    let (dalbi, _folder) = Site::to(&[upstream.address()]).serve(&[
        "--idle-timeout",
        "100ms",
        "--header-timeout",
        "100ms",
        "--stream-idle-timeout",
        "400ms",
    ]);
    let mut socket = tungstenite(&dalbi).await;
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    for _ in 0..20 {
        ticks.tick().await;
        socket.send(Message::text("x")).await.unwrap();
        assert_eq!(
            next(&mut socket).await.unwrap().unwrap(),
            Message::text("x")
        );
    }
    // One that is not used ends.
    assert!(matches!(next(&mut socket).await, None | Some(Err(_))));
}
