//! The admin API as a client sees it, with the token of the state directory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::http::{self, Answer, Error, request_with_body};

/// A running dispatcher's generations.
#[derive(Debug, Clone)]
pub struct Control {
    admin: SocketAddr,
    state: PathBuf,
}

impl Control {
    /// Of the process whose admin server and state directory these are.
    pub fn new(admin: SocketAddr, state: &Path) -> Self {
        Self {
            admin,
            state: state.to_owned(),
        }
    }

    /// Applies one document, whichever generation is current.
    pub async fn apply(&self, text: &str, terms: Value) -> Answer {
        self.try_apply(text, terms)
            .await
            .unwrap_or_else(|error| panic!("apply: {error}"))
    }

    /// The same, where the process may be gone.
    pub async fn try_apply(&self, text: &str, terms: Value) -> Result<Answer, Error> {
        let body = json!({
            "documents": [{"path": "site.yaml", "text": text}],
            "author": "test", "source": "test", "terms": terms,
        });
        self.try_post("/generations", body).await
    }

    /// A change that has to be taken.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let answer = self.try_post(path, body).await;
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(
            matches!(answer.status(), 200 | 202),
            "{path}: {} {}",
            answer.status(),
            answer.text()
        );
        answer
    }

    /// One that may not be.
    pub async fn try_post(&self, path: &str, body: Value) -> Result<Answer, Error> {
        let token = fs::read_to_string(self.state.join("admin-token"))?;
        let authorization = format!("Bearer {}", token.trim());
        let headers = [("authorization", authorization.as_str()), ("if-match", "*")];
        let request = request_with_body("POST", path, &headers, body.to_string());
        http::try_send(self.admin, request).await
    }

    /// `GET /generations`.
    pub async fn overview(&self) -> Value {
        http::get(self.admin, "/generations").await.json()
    }
}
