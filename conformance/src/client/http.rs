//! One HTTP request over a connection of its own.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{Tls, connect, in_time};

/// The version that the client speaks; both need no negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Version {
    #[default]
    One,
    Two,
}

/// What to ask.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Tls>,
    pub(crate) version: Version,
    pub(crate) method: String,
    /// With its port, if it is to have one.
    pub(crate) host: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Ask {
    /// Sends it and reads the whole answer; redirects are not followed.
    pub(crate) async fn send(&self) -> Result<Answer> {
        in_time("the request", self.exchange()).await
    }

    async fn exchange(&self) -> Result<Answer> {
        let io = TokioIo::new(connect(self.address, self.tls.as_ref()).await?);
        let response = match self.version {
            Version::One => {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
                    .await
                    .context("HTTP/1.1")?;
                tokio::spawn(connection);
                sender.send_request(self.request(&self.path)?).await
            }
            Version::Two => {
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                        .await
                        .context("HTTP/2")?;
                tokio::spawn(connection);
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                let target = format!("{scheme}://{}{}", self.host, self.path);
                sender.send_request(self.request(&target)?).await
            }
        };
        let (head, body) = response.context("no answer")?.into_parts();
        let body = body
            .collect()
            .await
            .context("the answer's body breaks off")?;
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        })
    }

    fn request(&self, target: &str) -> Result<Request<Empty<Bytes>>> {
        let mut request = Request::builder().method(self.method.as_str()).uri(target);
        if self.version == Version::One {
            request = request.header("host", &self.host);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
            .body(Empty::new())
            .context("a request that can be written")
    }
}
