//! What one request asks the test server to do, in its query or in its `x-upstream` header.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::quantity;

/// The header read like a query, for clients that cannot set one (gRPC).
pub(crate) const HEADER: &str = "x-upstream";

/// Changes to the server's own behaviour, for one request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Overrides {
    /// `status=503`
    pub(crate) status: Option<StatusCode>,
    /// `delay=20ms`, instead of the drawn service time.
    pub(crate) delay: Option<Duration>,
    /// `size=100KiB` of filler.
    pub(crate) size_bytes: Option<u64>,
    /// `abort=head` or `abort=1KiB`.
    pub(crate) abort: Option<Abort>,
    /// `hang`
    pub(crate) hang: bool,
    /// `echo=body`: the request's body is streamed back.
    pub(crate) echo_body: bool,
    /// `header=name:value`, several times.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// `grpc-status=14`
    pub(crate) grpc_status: Option<u32>,
}

/// Where the connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abort {
    /// Before the response head.
    Head,
    /// After this many bytes of the body.
    Body(u64),
}

/// A key that is ours with a value that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}={value}`: {reason}")]
pub(crate) struct OverrideError {
    key: String,
    value: String,
    reason: String,
}

impl Overrides {
    /// Takes the keys that are ours from `query`; other keys are the caller's business.
    pub(crate) fn read(&mut self, query: &str) -> Result<(), OverrideError> {
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            self.set(&key, &value).map_err(|reason| OverrideError {
                key: key.into_owned(),
                value: value.into_owned(),
                reason,
            })?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let size_bytes = |value| quantity::size_bytes(value).map_err(|error| error.to_string());
        match key {
            "status" => {
                let status = value.parse::<StatusCode>().ok();
                let status = status.filter(|status| !status.is_informational());
                self.status = Some(status.ok_or("a status is a number from 200 to 999")?);
            }
            "delay" => {
                let delay = quantity::duration(value).map_err(|error| error.to_string())?;
                self.delay = Some(delay);
            }
            "size" => self.size_bytes = Some(size_bytes(value)?),
            "abort" if value == "head" => self.abort = Some(Abort::Head),
            "abort" => self.abort = Some(Abort::Body(size_bytes(value)?)),
            "hang" => self.hang = value != "false",
            "echo" if value == "body" => self.echo_body = true,
            "header" => {
                let (name, value) = value.split_once(':').ok_or("write `header=name:value`")?;
                let name = name
                    .trim()
                    .parse()
                    .map_err(|_| "the name is not a header name")?;
                let value = value
                    .trim()
                    .parse()
                    .map_err(|_| "the value is not a header value")?;
                self.headers.push((name, value));
            }
            "grpc-status" => {
                let code = value.parse().map_err(|_| "a gRPC status is a number")?;
                self.grpc_status = Some(code);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_keys_are_taken_and_others_left() {
        let mut overrides = Overrides::default();
        overrides
            .read("a=b&status=404&delay=20ms&size=1KiB&abort=10&hang&echo=body&header=x-a%3A+b&grpc-status=14")
            .unwrap();
        assert_eq!(
            overrides,
            Overrides {
                status: Some(StatusCode::NOT_FOUND),
                delay: Some(Duration::from_millis(20)),
                size_bytes: Some(1024),
                abort: Some(Abort::Body(10)),
                hang: true,
                echo_body: true,
                headers: vec![(
                    HeaderName::from_static("x-a"),
                    HeaderValue::from_static("b")
                )],
                grpc_status: Some(14),
            }
        );
    }

    #[test]
    fn a_bad_value_is_named() {
        for query in [
            "status=99",
            "status=abc",
            "delay=5",
            "size=-1",
            "abort=tail",
            "header=x",
            "grpc-status=bad",
        ] {
            let error = Overrides::default().read(query).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{query}`: ")), "{error}");
        }
    }
}
