//! The gRPC echo, and as much protobuf as its messages need.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Pod;
use super::http::{Sure, Tls, note, pairs};

/// The service's path, up to the method's name.
pub(crate) const METHOD_PREFIX: &str = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/";

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// gRPC's code for a method that a server does not have.
const UNIMPLEMENTED: HeaderValue = HeaderValue::from_static("12");

/// Serves a connection until its end.
pub(super) async fn serve<S>(pod: Arc<Pod>, stream: S, tls: Option<Tls>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let (pod, tls) = (Arc::clone(&pod), tls.clone());
        async move { answer(&pod, request, tls.as_ref()).await }
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // However a connection ends, its client sees it.
    let _ended = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(pod: &Pod, request: Request<Incoming>, tls: Option<&Tls>) -> Sure<Response<Body>> {
    let (head, body) = request.into_parts();
    note(pod, head.uri.path(), &head.headers);
    let _message = body.collect().await;
    let method = head.uri.path().strip_prefix(METHOD_PREFIX);
    let known = matches!(method, Some("Echo" | "EchoTwo"));
    let body = match known {
        true => {
            let message = frame(&response(pod, &head, tls));
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let body = Full::new(message).with_trailers(async move { Some(Ok(trailers)) });
            body.boxed_unsync()
        }
        false => Empty::new().boxed_unsync(),
    };
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    if !known {
        response.headers_mut().insert("grpc-status", UNIMPLEMENTED);
    }
    Ok(response)
}

/// A message with gRPC's own five bytes before it.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("messages of an echo are short"));
    framed.extend_from_slice(message);
    framed.freeze()
}

/// `EchoResponse { assertions = 1 }`.
fn response(pod: &Pod, head: &http::request::Parts, tls: Option<&Tls>) -> Vec<u8> {
    let mut assertions = Vec::new();
    put(&mut assertions, 1, head.uri.path().as_bytes());
    for (name, value) in pairs(&head.headers) {
        let mut header = Vec::new();
        put(&mut header, 1, name.as_bytes());
        put(&mut header, 2, value.as_bytes());
        put(&mut assertions, 2, &header);
    }
    let authority = head
        .uri
        .authority()
        .map_or("", |authority| authority.as_str());
    put(&mut assertions, 3, authority.as_bytes());
    let mut context = Vec::new();
    put(&mut context, 1, pod.namespace.as_bytes());
    put(&mut context, 4, pod.name.as_bytes());
    put(&mut assertions, 4, &context);
    if let Some(tls) = tls {
        let mut said = Vec::new();
        put(&mut said, 3, tls.server_name.as_bytes());
        put(&mut assertions, 5, &said);
    }
    let mut message = Vec::new();
    put(&mut message, 1, &assertions);
    message
}

/// A field of type string, bytes or message.
fn put(message: &mut Vec<u8>, number: u8, value: &[u8]) {
    message.push(number << 3 | 2);
    let mut length = value.len();
    while length >= 0x80 {
        message.push(length as u8 & 0x7f | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(value);
}

/// The fields of a message in which all are strings, bytes or messages; nothing if it is not of that kind.
pub(crate) fn fields(mut message: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    while let Some((&tag, rest)) = message.split_first() {
        if tag & 7 != 2 {
            return None;
        }
        let (length, rest) = varint(rest)?;
        if length > rest.len() {
            return None;
        }
        let (value, rest) = rest.split_at(length);
        found.push((tag >> 3, value));
        message = rest;
    }
    Some(found)
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_written() {
        let long = vec![7; 300];
        let mut message = Vec::new();
        put(&mut message, 1, b"one");
        put(&mut message, 2, &long);
        assert_eq!(
            fields(&message).unwrap(),
            [(1, &b"one"[..]), (2, &long[..])]
        );
        assert!(fields(&message[..message.len() - 1]).is_none());
        assert!(fields(&[0x08, 1]).is_none());
    }
}
