//! Adds load reports to the answers of a tower service (feature `tower`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::load::{InFlight, Load};
use crate::meter::Outcome;
use crate::report::{Format, HEADER, HEADER_BIN, LOAD_PATH, LoadReport};

/// Counts a service's requests and adds the report to each answer: a header, and to gRPC's answers a trailer. It
/// answers `GET /dalbi/load` itself, so it belongs outside of layers that limit or queue.
///
/// A request is in flight from the call of the service until the end of its answer's body.
///
/// ```
/// use std::convert::Infallible;
/// use dalbi_load::{Load, LoadLayer};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let load = Load::new();
/// load.set_concurrency(64);
/// let service = ServiceBuilder::new()
///     .layer(LoadLayer::new(load.clone()))
///     .service(service_fn(async |_: Request<String>| {
///         Ok::<_, Infallible>(Response::new("hello".to_owned()))
///     }));
///
/// let answer = service.oneshot(Request::new(String::new())).await.unwrap();
/// let report = answer.headers()["endpoint-load-metrics"].to_str().unwrap();
/// assert!(report.starts_with("TEXT application_utilization="));
///
/// // Before the server stops:
/// load.set_draining(true);
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct LoadLayer {
    settings: Arc<Settings>,
}

#[derive(Debug, Clone)]
struct Settings {
    load: Load,
    /// `None` adds nothing to answers.
    format: Option<Format>,
    path: Option<String>,
}

impl LoadLayer {
    /// Reports `load` as text, and answers at [`LOAD_PATH`].
    pub fn new(load: Load) -> Self {
        Self {
            settings: Arc::new(Settings {
                load,
                format: Some(Format::Text),
                path: Some(LOAD_PATH.to_owned()),
            }),
        }
    }

    /// Reports in this format, or with no answer but those at the path. gRPC's trailers are always protobuf.
    #[must_use]
    pub fn format(mut self, format: Option<Format>) -> Self {
        Arc::make_mut(&mut self.settings).format = format;
        self
    }

    /// Answers at this path instead, or nowhere.
    #[must_use]
    pub fn path(mut self, path: Option<String>) -> Self {
        Arc::make_mut(&mut self.settings).path = path;
        self
    }
}

impl<S> Layer<S> for LoadLayer {
    type Service = LoadService<S>;

    fn layer(&self, inner: S) -> LoadService<S> {
        LoadService {
            inner,
            settings: Arc::clone(&self.settings),
        }
    }
}

/// What [`LoadLayer`] makes of a service.
#[derive(Debug, Clone)]
pub struct LoadService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, B, R> Service<Request<B>> for LoadService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<LoadBody<R>>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let settings = Arc::clone(&self.settings);
        let asks_for_load = matches!(*request.method(), Method::GET | Method::HEAD)
            && settings.path.as_deref() == Some(request.uri().path());
        if asks_for_load {
            let state = AnswerState::Load;
            return Answer { state, settings };
        }
        let state = AnswerState::Served {
            in_flight: Some(settings.load.begin()),
            inner: self.inner.call(request),
        };
        Answer { state, settings }
    }
}

pin_project! {
    /// The future of [`LoadService`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Answer<F> {
        #[pin]
        state: AnswerState<F>,
        settings: Arc<Settings>,
    }
}

pin_project! {
    #[project = AnswerStateProjected]
    #[derive(Debug)]
    enum AnswerState<F> {
        Served {
            #[pin]
            inner: F,
            in_flight: Option<InFlight>,
        },
        Load,
    }
}

impl<F, R, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<LoadBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let format = this.settings.format;
        match this.state.project() {
            AnswerStateProjected::Load => {
                let mut response = Response::new(LoadBody {
                    state: BodyState::Empty,
                });
                // The report is in the header, as with any other answer: one place to look for it.
                let report = this.settings.load.report();
                insert_report(response.headers_mut(), &report, format.unwrap_or_default());
                Poll::Ready(Ok(response))
            }
            AnswerStateProjected::Served { inner, in_flight } => {
                let outcome = ready!(inner.poll(context));
                let in_flight = in_flight
                    .take()
                    .expect("a future is not polled after it ended");
                match outcome {
                    Ok(response) => Poll::Ready(Ok(reported(response, in_flight, format))),
                    Err(error) => {
                        in_flight.end(Outcome::Failure);
                        Poll::Ready(Err(error))
                    }
                }
            }
        }
    }
}

fn reported<R: Body>(
    mut response: Response<R>,
    in_flight: InFlight,
    format: Option<Format>,
) -> Response<LoadBody<R>> {
    let is_grpc = is_grpc(response.headers());
    let outcome = if response.status().is_server_error() {
        Outcome::Failure
    } else {
        Outcome::Success
    };
    let headers = response.headers_mut();
    let mut counted = Counted {
        in_flight: Some(in_flight),
        outcome,
        is_grpc,
        is_told: format.is_some(),
    };
    if let (false, Some(format)) = (is_grpc, format) {
        insert_report(headers, &counted.report(), format);
    } else if headers.contains_key("grpc-status") {
        // An answer of trailers only.
        counted.read_trailers(headers);
    }
    response.map(|inner| {
        if inner.is_end_stream() {
            counted.end();
        }
        let state = BodyState::Served { inner, counted };
        LoadBody { state }
    })
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn insert_report(headers: &mut HeaderMap, report: &LoadReport, format: Format) {
    insert(headers, HEADER, report.to_header(format));
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: String) {
    let value = HeaderValue::try_from(value).expect("reports are visible ASCII and spaces");
    headers.insert(HeaderName::from_static(name), value);
}

/// A request that is in flight while its answer's body is sent.
#[derive(Debug)]
struct Counted {
    /// `None` once it has ended.
    in_flight: Option<InFlight>,
    outcome: Outcome,
    is_grpc: bool,
    /// Trailers carry a report.
    is_told: bool,
}

impl Counted {
    fn report(&self) -> LoadReport {
        self.in_flight
            .as_ref()
            .map(InFlight::report)
            .unwrap_or_default()
    }

    /// gRPC says in its trailers how the call ended, and load reports belong there (gRFC A51).
    fn read_trailers(&mut self, trailers: &mut HeaderMap) {
        if !self.is_grpc {
            return;
        }
        // UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, DATA_LOSS: the rest is about the
        // request.
        let failed = trailers.get("grpc-status").is_some_and(|status| {
            matches!(
                status.as_bytes(),
                b"2" | b"4" | b"8" | b"13" | b"14" | b"15"
            )
        });
        if failed {
            self.outcome = Outcome::Failure;
        }
        if self.is_told {
            insert(trailers, HEADER_BIN, self.report().to_header_bin());
        }
    }

    fn end(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.end(self.outcome);
        }
    }
}

pin_project! {
    /// The body of an answer, whose request is in flight until this has been sent.
    #[derive(Debug)]
    pub struct LoadBody<B> {
        #[pin]
        state: BodyState<B>,
    }
}

pin_project! {
    #[project = BodyStateProjected]
    #[derive(Debug)]
    enum BodyState<B> {
        Served {
            #[pin]
            inner: B,
            counted: Counted,
        },
        Empty,
    }
}

impl<B: Body> Body for LoadBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let BodyStateProjected::Served { mut inner, counted } = self.project().state.project()
        else {
            return Poll::Ready(None);
        };
        let mut frame = ready!(inner.as_mut().poll_frame(context));
        match &mut frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    counted.read_trailers(trailers);
                }
                // Servers need not ask again after the last frame.
                if inner.is_end_stream() {
                    counted.end();
                }
            }
            Some(Err(_)) => {
                counted.outcome = Outcome::Failure;
                counted.end();
            }
            None => counted.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            BodyState::Served { inner, .. } => inner.is_end_stream(),
            BodyState::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            BodyState::Served { inner, .. } => inner.size_hint(),
            BodyState::Empty => SizeHint::with_exact(0),
        }
    }
}
