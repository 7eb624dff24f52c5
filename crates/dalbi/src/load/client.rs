//! Sends one request at a time over kept connections.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Plan;

/// HTTP/1.1 to one target.
#[derive(Debug)]
pub(crate) struct Client {
    target: SocketAddr,
    authority: HeaderValue,
    paths: Vec<Uri>,
    /// Time a request may take in all.
    pub(crate) timeout: Duration,
    /// The connection used last is taken first, so that surplus ones go stale and are found closed.
    idle: RefCell<Vec<SendRequest<Empty<Bytes>>>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// `x-upstream-name`
    pub(crate) endpoint: Option<String>,
}

/// Why there was none. The text is a key in the summary, so it has no ports or counts in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("connect failed: {}", .0.kind())]
    Connect(#[from] std::io::Error),
    #[error("connection lost: {0}")]
    Exchange(#[from] hyper::Error),
}

impl Client {
    pub(crate) fn new(plan: &Plan) -> Self {
        let paths = plan
            .paths
            .iter()
            .map(|path| path.parse().expect("plans are made of good paths"));
        Self {
            target: plan.target,
            authority: HeaderValue::from_str(&plan.authority)
                .expect("plans are made of good host names"),
            paths: paths.collect(),
            timeout: plan.timeout,
            idle: RefCell::default(),
        }
    }

    /// Sends the `number`th request and reads the whole answer.
    pub(crate) async fn request(&self, number: usize) -> Result<Answer, RequestError> {
        let mut connection = match self.kept() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.paths[number % self.paths.len()].clone();
        request.headers_mut().insert(HOST, self.authority.clone());
        let response = connection.send_request(request).await?;
        let (head, mut body) = response.into_parts();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        self.idle.borrow_mut().push(connection);
        let endpoint = head
            .headers
            .get("x-upstream-name")
            .and_then(|name| name.to_str().ok());
        Ok(Answer {
            status: head.status,
            endpoint: endpoint.map(str::to_owned),
        })
    }

    fn kept(&self) -> Option<SendRequest<Empty<Bytes>>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, RequestError> {
        let stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move {
            // Whoever waits for an answer on it gets the same error.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection of the load generator ended");
            }
        });
        Ok(sender)
    }
}
