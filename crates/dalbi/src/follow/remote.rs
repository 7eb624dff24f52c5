//! Coming through the network path that a generation itself serves, to confirm that it has not cut its author off.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

use crate::admin_client::Endpoint;

/// One try: a path that does not answer so soon is tried again.
const TRY: Duration = Duration::from_secs(5);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// A listener of the generation, and the path that tells it that its author came.
#[derive(Debug)]
pub(crate) struct Remote {
    endpoint: Endpoint,
    path: String,
    /// Of the generation that has to answer.
    id: String,
    /// Why the last try did not get through.
    trouble: RefCell<Option<String>>,
}

impl Remote {
    pub(crate) fn new(endpoint: Endpoint, path: String, id: &str) -> Self {
        Self {
            endpoint,
            path,
            id: id.to_owned(),
            trouble: RefCell::default(),
        }
    }

    /// Tries until it gets through, each time over a connection of its own: a kept one would show nothing.
    pub(crate) async fn come(&self) {
        loop {
            let request = Request::get(&self.path).body(Full::<Bytes>::default());
            let request = request.expect("the server's paths are plain");
            let trouble = match self.endpoint.send_within(request, TRY).await {
                Ok(answer) if self.is_ours(&answer) => {
                    self.trouble.replace(None);
                    return;
                }
                Ok(answer) => format!(
                    "{} answered {}, and not as the generation that is being tried would",
                    self.endpoint.url(),
                    answer.status()
                ),
                Err(error) => error.to_string(),
            };
            self.trouble.replace(Some(trouble));
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The generation itself answers with the beginning of its id. A route that takes every path answers 200, too.
    fn is_ours(&self, answer: &Response<Bytes>) -> bool {
        let body = answer.body().trim_ascii();
        answer.status().is_success() && body.len() >= 12 && self.id.as_bytes().starts_with(body)
    }

    /// Why it did not get through, if it did not.
    pub(crate) fn trouble(self) -> Option<String> {
        self.trouble.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin_client::Trust;

    #[test]
    fn only_the_generation_itself_confirms() {
        let endpoint = Endpoint::of("http://shop.example", &Trust::default()).unwrap();
        let remote = Remote::new(endpoint, "/x".to_owned(), &"0123456789abcdef".repeat(4));
        let is_ours = |status: u16, body: &'static str| {
            let answer = Response::builder().status(status);
            remote.is_ours(&answer.body(Bytes::from_static(body.as_bytes())).unwrap())
        };
        assert!(is_ours(200, "0123456789ab\n"));
        for (status, body) in [
            (404, "0123456789ab"),
            (200, ""),
            (200, "0"),
            (200, "hello"),
            (200, "fedcba987654"),
        ] {
            assert!(!is_ours(status, body), "{status} {body}");
        }
    }
}
