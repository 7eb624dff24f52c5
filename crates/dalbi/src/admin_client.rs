//! Asks the process that serves, over its admin server.

mod endpoint;
mod options;

use std::path::PathBuf;

use bytes::Bytes;
use engine::api::{Apply, Problem};
use http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use endpoint::{Endpoint, EndpointError, Trust};
pub(crate) use options::AdminOptions;

/// Why a process did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(
        "no dalbi runs with the state directory {}: start `dalbi run`, name another directory with --state, or \
         the process's admin server with --admin",
        .0.display()
    )]
    NobodyRuns(PathBuf),
    #[error(
        "process {pid} has the state directory {}, and no admin server to ask (`--admin off`); start it with one",
        path.display()
    )]
    NoServer { path: PathBuf, pid: u32 },
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("{}", refusal(*status, problem, token_missing.as_deref()))]
    Refused {
        status: StatusCode,
        problem: Box<Problem>,
        /// Why there was no token to send.
        token_missing: Option<String>,
    },
    #[error("no generation is being tried; `dalbi generations list` shows what there is")]
    NothingPending,
    #[error("{url} answered {what}; is it the admin server of a dalbi of this version?")]
    Strange { url: String, what: String },
}

/// What was answered, with what helps where the server can't know it.
fn refusal(status: StatusCode, problem: &Problem, token_missing: Option<&str>) -> String {
    match (status, token_missing) {
        (StatusCode::UNAUTHORIZED, Some(missing)) => {
            format!("{}, and there was none to send: {missing}", problem.error)
        }
        (StatusCode::UNAUTHORIZED, None) => {
            format!(
                "{} (--state, --token-file or $DALBI_ADMIN_TOKEN)",
                problem.error
            )
        }
        (StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED, _) => match &problem.current {
            Some(current) => format!("{}; current is {}", problem.error, short(current)),
            None => problem.error.clone(),
        },
        _ => problem.error.clone(),
    }
}

/// The first 12 of an id's digits, for people.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

impl AdminError {
    /// What the server answered, if it did.
    pub(crate) fn problem(&self) -> Option<(StatusCode, &Problem)> {
        match self {
            Self::Refused {
                status, problem, ..
            } => Some((*status, problem)),
            _ => None,
        }
    }

    /// Whether asking again may help.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Endpoint(_) | Self::NobodyRuns(_) => true,
            Self::Refused { status, .. } => status.is_server_error(),
            Self::NoServer { .. } | Self::NothingPending | Self::Strange { .. } => false,
        }
    }
}

/// A process's admin server.
#[derive(Debug, Clone)]
pub(crate) struct AdminClient {
    endpoint: Endpoint,
    /// Or why there is none.
    token: Result<HeaderValue, String>,
}

impl AdminClient {
    fn new(endpoint: Endpoint, token: Result<HeaderValue, String>) -> Self {
        Self { endpoint, token }
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        self.endpoint.url()
    }

    /// Reads.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        let request = Request::builder().method(Method::GET).uri(path);
        self.send(request, Bytes::new()).await
    }

    /// Has something done.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, AdminError> {
        let request = Request::builder().method(Method::POST).uri(path);
        self.send(request, json(body)).await
    }

    /// Sends documents that are to follow `parent`, as `If-Match` names it: an id in quotes, `"none"`, or `*`.
    pub(crate) async fn apply<T: DeserializeOwned>(
        &self,
        apply: &Apply,
        parent: &str,
    ) -> Result<T, AdminError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/generations")
            .header(IF_MATCH, parent);
        self.send(request, json(apply)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        mut request: http::request::Builder,
        body: Bytes,
    ) -> Result<T, AdminError> {
        if let Ok(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(body))
            .expect("paths are made of plain characters");
        let answer = self.endpoint.send(request).await?;
        let (status, body) = (answer.status(), answer.into_body());
        let strange = |what: String| AdminError::Strange {
            url: self.url().to_owned(),
            what,
        };
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| strange(format!("something else than expected ({error})")));
        }
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(AdminError::Refused {
                status,
                problem: Box::new(problem),
                token_missing: self.token.as_ref().err().cloned(),
            }),
            Err(_) => Err(strange(status.to_string())),
        }
    }
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body)
        .expect("bodies have text keys only")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, problem: Problem, token_missing: Option<&str>) -> String {
        AdminError::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            problem: Box::new(problem),
            token_missing: token_missing.map(str::to_owned),
        }
        .to_string()
    }

    fn problem(error: &str, current: Option<&str>) -> Problem {
        Problem {
            error: error.to_owned(),
            findings: serde_json::Value::Null,
            current: current.map(str::to_owned),
        }
    }

    #[test]
    fn refusals_say_what_helps() {
        let missing = Some("read /s/admin-token: permission denied");
        assert_eq!(
            refused(401, problem("changes need a token", None), missing),
            "changes need a token, and there was none to send: read /s/admin-token: permission denied"
        );
        assert_eq!(
            refused(401, problem("this is not the token", None), None),
            "this is not the token (--state, --token-file or $DALBI_ADMIN_TOKEN)"
        );
        let current = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert_eq!(
            refused(412, problem("too late", Some(current)), missing),
            "too late; current is 0123456789ab"
        );
        assert_eq!(refused(409, problem("busy", None), None), "busy");
    }
}
