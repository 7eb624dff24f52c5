//! A tower service with the layer, asked by an HTTP client over a socket.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dalbi_load::{Format, HEADER, HEADER_BIN, Load, LoadLayer, LoadReport};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::{ServiceBuilder, service_fn};

type Client = http2::SendRequest<Full<Bytes>>;

/// What the server does with requests.
#[derive(Clone, Default)]
struct Server {
    /// Requests to `/wait` wait for one permit each.
    permits: Option<Arc<Semaphore>>,
}

impl Server {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path();
        if let ("/wait", Some(permits)) = (path, &self.permits) {
            permits.acquire().await.unwrap().forget();
        }
        let mut response = Response::new(Full::from("hello"));
        if path == "/fail" {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        Ok(response)
    }
}

/// A connection to a server on a port of its own, which lives as long as the runtime.
async fn connect(layer: LoadLayer, server: Server) -> Client {
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(service_fn(move |request| server.clone().answer(request)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .await
            .unwrap();
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

fn get(client: &mut Client, path: &str) -> impl Future<Output = Response<Incoming>> + use<> {
    let request = Request::get(format!("http://server.test{path}"))
        .body(Full::default())
        .unwrap();
    let response = client.send_request(request);
    async move { response.await.unwrap() }
}

fn report(headers: &HeaderMap) -> LoadReport {
    let mut reports = headers.iter().filter_map(|(name, value)| {
        LoadReport::from_header(name.as_str().as_bytes(), value.as_bytes())
    });
    let report = reports.next().expect("an answer has a report").unwrap();
    assert!(reports.next().is_none(), "one report in {headers:?}");
    report
}

#[tokio::test]
async fn answers_tell_how_many_others_are_in_flight() {
    let server = Server {
        permits: Some(Arc::new(Semaphore::new(0))),
    };
    let load = Load::new();
    load.set_concurrency(2);
    let mut client = connect(LoadLayer::new(load.clone()), server.clone()).await;
    let waiting: Vec<_> = (0..3)
        .map(|_| tokio::spawn(get(&mut client, "/wait")))
        .collect();
    // HTTP/2 requests are taken in the order in which they are sent.
    let answer = get(&mut client, "/").await;
    let said = report(answer.headers());
    assert_eq!((said.in_flight, said.draining), (Some(3), false));
    assert!(said.application_utilization.is_some());
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );

    load.set_draining(true);
    let answer = get(&mut client, "/dalbi/load").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let said = report(answer.headers());
    assert_eq!(said.in_flight, Some(3), "a probe is not counted");
    assert!(said.draining && said.latency.is_some());
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "");

    server.permits.unwrap().add_permits(3);
    for answer in waiting {
        let answer = answer.await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!(load.report().in_flight, Some(0));
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_longer_in_flight() {
    let server = Server {
        permits: Some(Arc::new(Semaphore::new(0))),
    };
    let load = Load::new();
    let mut client = connect(LoadLayer::new(load.clone()), server).await;
    let waiting = tokio::spawn(get(&mut client, "/wait"));
    let said = report(get(&mut client, "/").await.headers());
    assert_eq!(said.in_flight, Some(1));
    waiting.abort();
    // The reset is on its way; each answer comes after all that was sent before its request.
    let forgotten = async {
        while report(get(&mut client, "/dalbi/load").await.headers()).in_flight != Some(0) {
            tokio::task::yield_now().await;
        }
    };
    // So that a failure is one, and not a test that hangs.
    tokio::time::timeout(Duration::from_secs(60), forgotten)
        .await
        .unwrap();
}

#[tokio::test]
async fn failures_are_reported_as_errors_in_the_format_asked_for() {
    let layer = LoadLayer::new(Load::new())
        .format(Some(Format::Json))
        .path(Some("/load".to_owned()));
    let mut client = connect(layer, Server::default()).await;
    assert_eq!(get(&mut client, "/fail").await.status(), 500);
    let answer = get(&mut client, "/load").await;
    let value = answer.headers()[HEADER].to_str().unwrap();
    assert!(value.starts_with("JSON {"), "{value}");
    let said = report(answer.headers());
    assert!(
        said.eps > Some(0.0) && said.eps == said.rps_fractional,
        "{said:?}"
    );
    assert_eq!(said.latency, None, "a failure's time says nothing");
    let answer = get(&mut client, "/dalbi/load").await;
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
}

#[tokio::test]
async fn a_silent_layer_counts_and_answers_probes_only() {
    let layer = LoadLayer::new(Load::new()).format(None);
    let mut client = connect(layer, Server::default()).await;
    let answer = get(&mut client, "/").await;
    assert!(!answer.headers().contains_key(HEADER));
    answer.into_body().collect().await.unwrap();
    let answer = get(&mut client, "/dalbi/load").await;
    assert!(report(answer.headers()).latency.is_some());
}

#[tokio::test]
async fn grpc_gets_the_report_with_its_trailers() {
    use tower::ServiceExt;

    let load = Load::new();
    let call = async |status: &'static str, only_trailers: bool| {
        let service = ServiceBuilder::new()
            .layer(LoadLayer::new(load.clone()))
            .service(service_fn(move |_: Request<()>| async move {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.parse().unwrap());
                let sent_last = (!only_trailers).then(|| Ok(trailers.clone()));
                let body = Full::new(Bytes::new()).with_trailers(async { sent_last });
                let mut response = Response::new(body);
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, "application/grpc+proto".parse().unwrap());
                if only_trailers {
                    headers.extend(trailers);
                }
                Ok::<_, Infallible>(response)
            }));
        let answer = service.oneshot(Request::new(())).await.unwrap();
        if only_trailers {
            return answer.headers().clone();
        }
        assert!(!answer.headers().contains_key(HEADER));
        let trailers = answer
            .into_body()
            .collect()
            .await
            .unwrap()
            .trailers()
            .cloned();
        trailers.unwrap()
    };
    for only_trailers in [false, true] {
        let trailers = call("0", only_trailers).await;
        assert!(trailers.contains_key(HEADER_BIN));
        assert_eq!(report(&trailers).in_flight, Some(0));
    }
    let errors = load.report().eps;
    assert_eq!(errors, Some(0.0));
    call("14", false).await;
    assert!(load.report().eps > errors);
}
