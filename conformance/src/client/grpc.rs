//! One gRPC call to an echo.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{connect, in_time};
use crate::echo::{METHOD_PREFIX, fields};

/// What to call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
    /// `Echo`, `EchoTwo`, `EchoThree`.
    pub(crate) method: &'static str,
    pub(crate) metadata: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    /// gRPC's status code.
    pub(crate) code: u32,
    pub(crate) message: String,
    /// The path that the echo saw.
    pub(crate) path: String,
    pub(crate) authority: String,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    /// The headers that the echo saw.
    pub(crate) seen: Vec<(String, String)>,
}

/// UNIMPLEMENTED, UNAVAILABLE and so on, as gRPC maps an HTTP status without a `grpc-status`.
fn code_of_status(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

impl Call {
    /// Calls and waits for the trailers.
    pub(crate) async fn send(&self) -> Result<Reply> {
        in_time("the call", self.exchange()).await
    }

    async fn exchange(&self) -> Result<Reply> {
        let io = TokioIo::new(connect(self.address, None).await?);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .context("HTTP/2")?;
        tokio::spawn(connection);
        let target = format!("http://{}{METHOD_PREFIX}{}", self.authority, self.method);
        let mut request = Request::post(target)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in &self.metadata {
            request = request.header(name, value);
        }
        // An empty message: uncompressed, of no length.
        let request = request.body(Full::new(Bytes::from_static(&[0; 5])))?;
        let (head, body) = sender
            .send_request(request)
            .await
            .context("no answer")?
            .into_parts();
        let body = body
            .collect()
            .await
            .context("the answer's body breaks off")?;
        let trailers = body.trailers().cloned();
        let status = |headers: &HeaderMap| {
            let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
            let message = headers
                .get("grpc-message")
                .and_then(|text| text.to_str().ok());
            Some((code, message.unwrap_or_default().to_owned()))
        };
        let status = trailers
            .as_ref()
            .and_then(status)
            .or_else(|| status(&head.headers));
        let (code, message) = status.unwrap_or_else(|| {
            let status = head.status.as_u16();
            let code = if status == 200 {
                13
            } else {
                code_of_status(status)
            };
            (code, format!("HTTP {status} without a grpc-status"))
        });
        let mut reply = Reply {
            code,
            message,
            ..Reply::default()
        };
        if code == 0 {
            reply
                .read(&body.to_bytes())
                .context("an answer that is no EchoResponse")?;
        }
        Ok(reply)
    }
}

impl Reply {
    /// Takes what an `EchoResponse` says.
    fn read(&mut self, body: &[u8]) -> Option<()> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let message = fields(body.get(5..)?)?;
        let (_, assertions) = message.into_iter().find(|(number, _)| *number == 1)?;
        for (number, value) in fields(assertions)? {
            match number {
                1 => self.path = text(value),
                2 => {
                    let header = fields(value)?;
                    let part = |wanted| header.iter().find(|(number, _)| *number == wanted);
                    let (name, value) = (part(1)?.1, part(2).map_or(&[][..], |part| part.1));
                    self.seen.push((text(name), text(value)));
                }
                3 => self.authority = text(value),
                4 => {
                    for (number, value) in fields(value)? {
                        match number {
                            1 => self.namespace = text(value),
                            4 => self.pod = text(value),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(())
    }
}
