//! `/generations…` and `/upgrade`: the history read from disk for each answer, changes handed to the engine.

use bytes::Bytes;
use generations::{GenerationId, View};
use http::header::IF_MATCH;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::pages::{self, problem};
use super::{Answer, Generations};
use crate::api::{Activate, Apply, Change, Overview, Problem, Shown, Upgrade};
use crate::life::Parent;
use crate::refusal::Refusal;

/// Bytes of a request's body: ten thousand endpoints take 2 MB, and JSON's quotes some more.
const MAX_BODY: usize = 256 * 1024 * 1024;

/// Everything below here that is not an answer yet.
type Outcome = Result<Answer, Refusal>;

pub(super) async fn answer(generations: &Generations, request: Request<Incoming>) -> Answer {
    match route(generations, request).await {
        Ok(answer) => answer,
        Err(refusal) => refused(&refusal),
    }
}

async fn route(generations: &Generations, request: Request<Incoming>) -> Outcome {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match (request.method(), segments.as_slice()) {
        (&Method::GET | &Method::HEAD, ["generations", rest @ ..]) => read(generations, rest).await,
        (&Method::POST, ["generations"]) => apply(generations, request).await,
        (&Method::POST, ["generations", "rollback"]) => {
            let activate: Activate = body(request).await?;
            let accepted = generations
                .handle
                .ask(|life| life.roll_back(activate))
                .await?;
            Ok(pages::json(StatusCode::OK, &accepted))
        }
        (&Method::POST, ["generations", "gc"]) => {
            let change: Change = body(request).await?;
            let collected = generations
                .handle
                .ask(move |life| life.collect_garbage(change.keep))
                .await?;
            Ok(pages::json(StatusCode::OK, &collected))
        }
        (&Method::POST, ["generations", which, verb]) => {
            let (which, verb) = ((*which).to_owned(), (*verb).to_owned());
            change(generations, &which, &verb, request).await
        }
        (&Method::POST, ["upgrade"]) => {
            let upgrade: Upgrade = body(request).await?;
            let upgraded = generations
                .upgrader
                .upgrade(&generations.handle, upgrade)
                .await?;
            Ok(pages::json(StatusCode::OK, &upgraded))
        }
        (method, _) => Ok(pages::nothing_here(
            &path,
            *method == Method::GET || *method == Method::HEAD,
        )),
    }
}

async fn read(generations: &Generations, rest: &[&str]) -> Outcome {
    let handle = &generations.handle;
    let view = View::open(handle.state())?;
    Ok(match rest {
        [] => {
            let serving = handle.ask(|life| Ok(life.serving())).await?;
            let overview = Overview {
                current: view.current().map(|id| id.to_string()),
                serving,
                pending: handle.progress(),
                generations: view.list().into_iter().rev().collect(),
            };
            pages::json(StatusCode::OK, &overview)
        }
        ["pending"] => pages::json(StatusCode::OK, &handle.progress()),
        ["log"] => pages::json(StatusCode::OK, &view.log()?),
        ["verify"] => pages::json(StatusCode::OK, &view.verify(&[], false)?),
        [which] => {
            let id = find(&view, which)?;
            let shown = Shown {
                generation: view.generation(id).cloned().ok_or_else(|| gone(which))?,
                pending: handle
                    .progress()
                    .filter(|progress| progress.id == id.to_string()),
            };
            pages::json(StatusCode::OK, &shown)
        }
        [which, "documents"] => {
            let id = find(&view, which)?;
            pages::json(StatusCode::OK, &view.documents(id)?)
        }
        _ => pages::nothing_here(&format!("/generations/{}", rest.join("/")), true),
    })
}

async fn apply(generations: &Generations, request: Request<Incoming>) -> Outcome {
    let parent = match request.headers().get(IF_MATCH) {
        None => {
            let what = "the header If-Match is missing: send the current generation's id in quotes, `\"none\"` where there is none, or `*`";
            return Ok(problem(StatusCode::PRECONDITION_REQUIRED, what));
        }
        Some(value) => parent(value.to_str().unwrap_or_default())?,
    };
    let apply: Apply = body(request).await?;
    let accepted = generations
        .handle
        .ask(move |life| life.apply(apply, parent))
        .await?;
    let mut answer = pages::json(StatusCode::ACCEPTED, &accepted);
    let location = format!("/generations/{}", accepted.id);
    let location = location.parse().expect("hexadecimal digits");
    answer
        .headers_mut()
        .insert(http::header::LOCATION, location);
    Ok(answer)
}

/// `If-Match` (RFC 9110 section 13.1.1), with `"none"` for an empty store.
fn parent(text: &str) -> Result<Parent, Refusal> {
    match text.trim() {
        "*" => Ok(Parent::Any),
        "\"none\"" => Ok(Parent::Exactly(None)),
        quoted => {
            let id = quoted.trim_matches('"').parse();
            let id = id.map_err(|_| {
                Refusal::Impossible(format!("If-Match: {quoted} is no generation's id in quotes; send 64 hexadecimal digits, `\"none\"` or `*`"))
            })?;
            Ok(Parent::Exactly(Some(id)))
        }
    }
}

async fn change(
    generations: &Generations,
    which: &str,
    verb: &str,
    request: Request<Incoming>,
) -> Outcome {
    let id = find(&View::open(generations.handle.state())?, which)?;
    let handle = &generations.handle;
    if verb == "activate" {
        let activate: Activate = body(request).await?;
        let accepted = handle.ask(move |life| life.activate(id, activate)).await?;
        return Ok(pages::json(StatusCode::ACCEPTED, &accepted));
    }
    let change: Change = body(request).await?;
    match verb {
        "confirm" => handle.ask(move |life| life.confirm(id, &change)).await?,
        "cancel" => handle.ask(move |life| life.cancel(id, &change)).await?,
        "extend" => handle.ask(move |life| life.extend(id, &change)).await?,
        "pin" => handle.ask(move |life| life.pin(id, &change)).await?,
        "unpin" => handle.ask(move |life| life.unpin(id, &change)).await?,
        _ => {
            return Ok(pages::nothing_here(
                &format!("/generations/{which}/{verb}"),
                true,
            ));
        }
    }
    Ok(pages::json(
        StatusCode::OK,
        &json!({ "id": id.to_string(), "done": verb }),
    ))
}

fn find(view: &View, which: &str) -> Result<GenerationId, Refusal> {
    let found = view.find(which);
    let found = found.map_err(|error| Refusal::NotFound(error.to_string()))?;
    Ok(found.id)
}

fn gone(which: &str) -> Refusal {
    Refusal::NotFound(format!("generation {which} has just been collected"))
}

async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let collected = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let bytes = collected
        .map_err(|error| Refusal::Impossible(format!("read the request's body: {error}")))?;
    let bytes: Bytes = bytes.to_bytes();
    // A call without particulars may come without a body.
    let text = if bytes.is_empty() { b"{}" } else { &bytes[..] };
    serde_json::from_slice(text)
        .map_err(|error| Refusal::Impossible(format!("the request's body: {error}")))
}

fn refused(refusal: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.status()).expect("statuses are valid");
    let findings = match refusal {
        Refusal::Findings(findings) => findings.list.clone(),
        _ => serde_json::Value::Null,
    };
    let current = match refusal {
        Refusal::Stale { current, .. } => current.map(|id| id.to_string()),
        _ => None,
    };
    let problem = Problem {
        error: refusal.to_string(),
        findings,
        current,
    };
    pages::json(status, &problem)
}
