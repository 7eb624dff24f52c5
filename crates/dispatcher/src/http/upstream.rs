//! What an exchange needs of a connection to an endpoint.

use std::future::Future;

use super::body::BodySource;
use super::view::HeadVisitor;

/// Why there is no response head.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeadError {
    /// The connection ended first.
    #[error("the endpoint closed the connection{}", error.as_deref().map(|error| format!(": {error}")).unwrap_or_default())]
    Closed {
        /// Whether part of a head had come.
        begun: bool,
        /// What the connection failed with, if it did not just end.
        error: Option<String>,
    },
    /// It was not HTTP.
    #[error("{0}")]
    Malformed(#[from] http1::ResponseError),
    /// One informational head after another.
    #[error("the endpoint sent informational responses without end")]
    Endless,
    /// The endpoint reset the stream.
    #[error("{0}")]
    Reset(h2::Error),
}

impl HeadError {
    /// Whether the endpoint has certainly not begun to work on the request (RFC 9113 section 8.7).
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Reset(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM))
    }

    /// Whether it was ending the connection in good order and left the request out (RFC 9113 section 6.8).
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self, Self::Reset(error) if error.is_go_away()
            && error.is_remote()
            && error.reason() == Some(h2::Reason::NO_ERROR))
    }
}

/// The receiving direction of an exchange with an endpoint.
pub(crate) trait ResponseSource: BodySource {
    /// Shows the next head to `visitor`; informational ones come before the final one.
    fn head<V: HeadVisitor>(
        &mut self,
        visitor: &mut V,
    ) -> impl Future<Output = Result<V::Output, HeadError>>;
}
