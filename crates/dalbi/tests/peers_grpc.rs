//! tonic as a gRPC client and server on either side of dalbi.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_util::{Stream, StreamExt, stream};
use support::wire::in_time;
use support::{Dalbi, Folder, Site};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status, Streaming};

/// Messages are bytes as they are: what Protobuf would make of them is not dalbi's business.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What a server has seen.
#[derive(Debug, Default)]
struct Seen {
    calls: AtomicUsize,
    /// Calls that were given up before their end.
    cancelled: AtomicUsize,
    deadlines: AtomicUsize,
}

/// The service. On the wire every kind of call is a stream each way.
#[derive(Debug, Clone)]
struct Echo(Arc<Seen>);

impl NamedService for Echo {
    const NAME: &'static str = "dalbi.test.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let seen = self.0.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Raw).max_decoding_message_size(64 << 20);
            Ok(grpc.streaming(Method { name, seen }, request).await)
        })
    }
}

struct Method {
    name: String,
    seen: Arc<Seen>,
}

impl Service<Request<Streaming<Bytes>>> for Method {
    type Response = Response<Messages>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (name, seen) = (self.name.clone(), self.seen.clone());
        Box::pin(async move { answer(&name, &seen, request).await })
    }
}

/// Counts a call that ends before its time.
struct Cancelled(Arc<Seen>);

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.0.cancelled.fetch_add(1, Ordering::Relaxed);
    }
}

async fn answer(
    name: &str,
    seen: &Arc<Seen>,
    request: Request<Streaming<Bytes>>,
) -> Result<Response<Messages>, Status> {
    let call = seen.calls.fetch_add(1, Ordering::Relaxed);
    let has_deadline = request.metadata().contains_key("grpc-timeout");
    seen.deadlines
        .fetch_add(usize::from(has_deadline), Ordering::Relaxed);
    let metadata = request.metadata().clone();
    let mut messages = request.into_inner();
    let answers: Messages = match name {
        "Echo" => Box::pin(messages),
        "Count" => {
            let first = messages.message().await?.unwrap();
            let count: usize = std::str::from_utf8(&first).unwrap().parse().unwrap();
            Box::pin(stream::iter((0..count).map(|n| Ok(n.to_string().into()))))
        }
        "Join" => {
            let mut all = Vec::new();
            while let Some(message) = messages.message().await? {
                all.extend_from_slice(&message);
            }
            Box::pin(stream::iter([Ok(all.into())]))
        }
        "Refuse" => {
            let mut status = Status::failed_precondition("not now: 100% zu früh");
            status.metadata_mut().insert_bin(
                "why-bin",
                tonic::metadata::MetadataValue::from_bytes(&[0, 255]),
            );
            return Err(status);
        }
        "BreakOff" => {
            let failure = Status::data_loss("the rest is gone");
            Box::pin(stream::iter([Ok("first".into()), Err(failure)]))
        }
        "Unavailable" if call == 0 => return Err(Status::unavailable("try again")),
        "Unavailable" => Box::pin(messages),
        "Hang" => {
            let guard = Cancelled(seen.clone());
            std::future::pending::<()>().await;
            drop(guard);
            Box::pin(stream::empty())
        }
        "HangLate" => {
            let guard = Cancelled(seen.clone());
            let rest = stream::once(async move {
                let _guard = guard;
                std::future::pending().await
            });
            Box::pin(stream::iter([Ok("first".into())]).chain(rest))
        }
        _ => return Err(Status::unimplemented(name)),
    };
    let mut response = Response::new(answers);
    for name in ["x-text", "x-bytes-bin"] {
        if let Some(value) = metadata.get(name) {
            response.metadata_mut().insert("x-text", value.clone());
        } else if let Some(value) = metadata.get_bin(name) {
            response
                .metadata_mut()
                .insert_bin("x-bytes-bin", value.clone());
        }
    }
    Ok(response)
}

/// A tonic server that ends gracefully when its value is told to.
struct Peer {
    address: SocketAddr,
    seen: Arc<Seen>,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Peer {
    fn start() -> Self {
        Self::start_at(SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            support::free_port(),
        )))
    }

    fn start_at(address: SocketAddr) -> Self {
        let incoming = TcpIncoming::bind(address).unwrap().with_nodelay(Some(true));
        let seen = Arc::<Seen>::default();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let service = Echo(seen.clone());
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            Server::builder()
                .add_service(service)
                .serve_with_incoming_shutdown(incoming, stopped)
                .await
                .unwrap();
        });
        Self {
            address,
            seen,
            stop,
            task,
        }
    }
}

/// A server, dalbi before it, and a client before dalbi.
async fn stage(rule: &str) -> (Peer, Dalbi, Folder, Client) {
    let peer = Peer::start();
    let site = Site::to(&[peer.address]).protocol("GRPC");
    let site = if rule.is_empty() {
        site
    } else {
        site.rule(rule)
    };
    let (dalbi, folder) = site.serve(&[]);
    let client = Client::connect(dalbi.address(8080)).await;
    (peer, dalbi, folder, client)
}

#[derive(Clone)]
struct Client(Channel);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let endpoint = Endpoint::try_from(format!("http://{address}")).unwrap();
        Self(endpoint.connect().await.unwrap())
    }

    async fn grpc(&self) -> tonic::client::Grpc<Channel> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone()).max_decoding_message_size(64 << 20);
        in_time("a connection", grpc.ready()).await.unwrap();
        grpc
    }

    async fn unary(
        &self,
        method: &'static str,
        request: impl tonic::IntoRequest<Bytes>,
    ) -> Result<Response<Bytes>, Status> {
        let mut grpc = self.grpc().await;
        let call = grpc.unary(request.into_request(), path(method), Raw);
        in_time(method, call).await
    }

    async fn streaming(
        &self,
        method: &'static str,
        requests: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut grpc = self.grpc().await;
        let call = grpc.streaming(Request::new(requests), path(method), Raw);
        in_time(method, call).await.map(Response::into_inner)
    }
}

fn path(method: &'static str) -> http::uri::PathAndQuery {
    format!("/dalbi.test.Echo/{method}").parse().unwrap()
}

async fn next(messages: &mut Streaming<Bytes>) -> Option<Result<Bytes, Status>> {
    in_time("a message", messages.next()).await
}

#[tokio::test]
async fn a_unary_call_with_metadata() {
    let (_peer, _dalbi, _folder, client) = stage("").await;
    let mut request = Request::new(Bytes::from("hello"));
    let metadata = request.metadata_mut();
    metadata.insert("x-text", "text".parse().unwrap());
    metadata.insert_bin(
        "x-bytes-bin",
        tonic::metadata::MetadataValue::from_bytes(&[0, 1, 255]),
    );
    let response = client.unary("Echo", request).await.unwrap();
    assert_eq!(response.get_ref(), "hello");
    assert_eq!(response.metadata().get("x-text").unwrap(), "text");
    let bytes = response.metadata().get_bin("x-bytes-bin").unwrap();
    assert_eq!(bytes.to_bytes().unwrap().as_ref(), [0, 1, 255]);

    // An empty message is a message.
    let empty = client.unary("Echo", Bytes::new()).await.unwrap();
    assert_eq!(empty.get_ref(), "");
}

#[tokio::test]
async fn large_messages() {
    let (_peer, _dalbi, _folder, client) = stage("").await;
    let message: Bytes = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let back = client.unary("Echo", message.clone()).await.unwrap();
    assert!(back.into_inner() == message);
}

#[tokio::test]
async fn streams_of_every_shape() {
    let (_peer, _dalbi, _folder, client) = stage("").await;
    let mut grpc = client.grpc().await;
    let count = Request::new(Bytes::from("1000"));
    let counting = grpc.server_streaming(count, path("Count"), Raw);
    let mut counted = in_time("Count", counting).await.unwrap().into_inner();
    for expected in 0..1000 {
        let message = next(&mut counted).await.unwrap().unwrap();
        assert_eq!(message, expected.to_string());
    }
    assert!(next(&mut counted).await.is_none());

    let words = stream::iter(["a", "b", "", "c"].map(Bytes::from));
    let mut grpc = client.grpc().await;
    let joining = grpc.client_streaming(Request::new(words), path("Join"), Raw);
    let joined = in_time("Join", joining).await.unwrap();
    assert_eq!(joined.get_ref(), "abc");
}

#[tokio::test]
async fn a_conversation_goes_back_and_forth() {
    let (_peer, _dalbi, _folder, client) = stage("").await;
    let (say, said) = tokio::sync::mpsc::channel::<Bytes>(1);
    let said = stream::unfold(said, async |mut said| Some((said.recv().await?, said)));
    let mut heard = client.streaming("Echo", Box::pin(said)).await.unwrap();
    // Each message has to come back before the next is sent: nothing may wait for a fuller buffer.
    for turn in 0..100 {
        say.send(turn.to_string().into()).await.unwrap();
        assert_eq!(next(&mut heard).await.unwrap().unwrap(), turn.to_string());
    }
    drop(say);
    assert!(next(&mut heard).await.is_none());
}

#[tokio::test]
async fn errors_arrive_whole() {
    let (_peer, _dalbi, _folder, client) = stage("").await;
    let refused = client.unary("Refuse", Bytes::new()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "not now: 100% zu früh");
    let why = refused.metadata().get_bin("why-bin").unwrap();
    assert_eq!(why.to_bytes().unwrap().as_ref(), [0, 255]);

    let mut messages = client.streaming("BreakOff", stream::empty()).await.unwrap();
    assert_eq!(next(&mut messages).await.unwrap().unwrap(), "first");
    let lost = next(&mut messages).await.unwrap().unwrap_err();
    assert_eq!(
        (lost.code(), lost.message()),
        (Code::DataLoss, "the rest is gone")
    );
    let unknown = client.unary("Nonsense", Bytes::new()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
}

#[tokio::test]
async fn what_dalbi_itself_answers_is_grpc() {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, support::free_port()));
    let site = Site::to(&[nobody]).protocol("GRPC");
    let (dalbi, folder) = site.serve(&[]);
    let client = Client::connect(dalbi.address(8080)).await;
    let status = client.unary("Echo", Bytes::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "upstream connect error\n");

    let elsewhere = site.rule("match: [{uri: {prefix: /other}}]");
    folder.write("site.yaml", &elsewhere.documents());
    support::until("nothing is routed", async || {
        let status = client.unary("Echo", Bytes::new()).await.unwrap_err();
        status.code() == Code::Unimplemented
    })
    .await;
}

#[tokio::test]
async fn unavailable_is_retried_by_default() {
    let (peer, _dalbi, _folder, client) = stage("").await;
    let response = client.unary("Unavailable", Bytes::from("x")).await;
    assert_eq!(response.unwrap().get_ref(), "x");
    assert_eq!(peer.seen.calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_deadline_reaches_the_server_and_ends_the_call() {
    let (peer, _dalbi, _folder, client) = stage("").await;
    let mut request = Request::new(Bytes::new());
    request.set_timeout(Duration::from_millis(200));
    let late = client.unary("Hang", request).await.unwrap_err();
    assert!(
        matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{late:?}"
    );
    assert_eq!(peer.seen.deadlines.load(Ordering::Relaxed), 1);
    support::until("the server gives up", async || {
        peer.seen.cancelled.load(Ordering::Relaxed) == 1
    })
    .await;
}

#[tokio::test]
async fn a_timeout_of_the_route_is_a_deadline_too() {
    let (peer, _dalbi, _folder, client) = stage("timeout: 0.2s").await;
    let late = client.unary("Hang", Bytes::new()).await.unwrap_err();
    assert!(
        matches!(late.code(), Code::Unavailable | Code::DeadlineExceeded),
        "{late:?}"
    );
    support::until("the server gives up", async || {
        peer.seen.cancelled.load(Ordering::Relaxed) == 1
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_call_ends_at_the_server() {
    let (peer, _dalbi, _folder, client) = stage("").await;
    let caller = client.clone();
    let call = tokio::spawn(async move { caller.unary("Hang", Bytes::new()).await });
    support::until("the call has arrived", async || {
        peer.seen.calls.load(Ordering::Relaxed) == 1
    })
    .await;
    call.abort();
    let cancelled = async |count| {
        support::until("the server is told", async || {
            peer.seen.cancelled.load(Ordering::Relaxed) == count
        })
        .await;
    };
    cancelled(1).await;

    // The same in the middle of an answer.
    let mut messages = client.streaming("HangLate", stream::empty()).await.unwrap();
    assert_eq!(next(&mut messages).await.unwrap().unwrap(), "first");
    drop(messages);
    cancelled(2).await;

    // The connection is as good as before.
    let alive = client.unary("Echo", Bytes::from("x")).await.unwrap();
    assert_eq!(alive.get_ref(), "x");
}

#[tokio::test]
async fn many_calls_share_a_connection() {
    let (_peer, _dalbi, _folder, client) = stage("").await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..500_u32 {
        let client = client.clone();
        calls.spawn(async move {
            let message = Bytes::from(vec![number as u8; number as usize * 10]);
            let back = client.unary("Echo", message.clone()).await.unwrap();
            assert!(back.into_inner() == message);
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_leaves_in_good_order_costs_no_call() {
    let peers = [Peer::start(), Peer::start()];
    let (dalbi, _folder) = Site::to(&[peers[0].address, peers[1].address])
        .protocol("GRPC")
        .serve(&[]);
    let client = Client::connect(dalbi.address(8080)).await;
    let stopping = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    let made = Arc::new(AtomicUsize::new(0));
    for _ in 0..8 {
        let (client, stopping, made) = (client.clone(), stopping.clone(), made.clone());
        callers.spawn(async move {
            while !stopping.load(Ordering::Relaxed) {
                client.unary("Echo", Bytes::from("x")).await.unwrap();
                made.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let more = async |count| {
        let wanted = made.load(Ordering::Relaxed) + count;
        support::until("calls are made", async || {
            made.load(Ordering::Relaxed) >= wanted
        })
        .await;
    };
    more(200).await;
    let [leaver, stayer] = peers;
    assert!(leaver.seen.calls.load(Ordering::Relaxed) > 0);
    let address = leaver.address;
    leaver.stop.send(()).unwrap();
    in_time("leaving", leaver.task).await.unwrap();
    more(200).await;
    let back = Peer::start_at(address);
    more(200).await;
    support::until("it is used again", async || {
        back.seen.calls.load(Ordering::Relaxed) > 0
    })
    .await;
    stopping.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    drop(stayer);
}
