//! Each comparison is shown something that is right and, for each thing it looks at, something that is wrong.

use serde_json::json;

use super::*;

fn certificates() -> std::sync::Arc<Certificates> {
    Certificates::new().unwrap()
}

fn expected(value: Value) -> Http {
    serde_json::from_value(value).unwrap()
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: &Value) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    Answer {
        status,
        headers: headers.collect(),
        body: body.to_string().into(),
    }
}

fn judge(case: Value, answer: &Answer) -> Verdict {
    http(
        &expected(case),
        answer,
        &"http://127.0.0.1/asked".parse().unwrap(),
        &certificates(),
    )
}

fn echo() -> Value {
    json!({
        "path": "/", "host": "a.example", "method": "GET", "namespace": "infra", "pod": "v1-abc",
        "headers": {"x-one": ["1", "2"]}, "tls": {"serverName": "b.example", "peerCertificates": ["x"]},
    })
}

#[track_caller]
fn right(case: Value, answer: &Answer) {
    assert_eq!(judge(case, answer), Ok(()));
}

#[track_caller]
fn wrong(case: Value, answer: &Answer, because: &str) {
    let error = judge(case, answer).expect_err(because);
    assert!(error.contains(because), "{error}");
}

#[test]
fn the_status_is_compared_and_200_if_none_is_named() {
    let not_found = answer(404, &[], &Value::Null);
    right(json!({"Response": {"StatusCode": 404}}), &not_found);
    right(json!({"Response": {"StatusCodes": [403, 404]}}), &not_found);
    wrong(json!({}), &not_found, "expected status [200], got 404");
    wrong(
        json!({"Response": {"StatusCode": 500}}),
        &not_found,
        "[500]",
    );
    let timeout = answer(408, &[], &Value::Null);
    right(json!({"Response": {"StatusCode": 504}}), &timeout);
}

#[test]
fn everything_that_the_upstream_saw_is_compared() {
    let ok = answer(200, &[], &echo());
    let case = |request: Value| json!({"ExpectedRequest": {"Request": request}});
    right(
        json!({"Request": {"Path": "/"}, "Backend": "v1", "Namespace": "infra"}),
        &ok,
    );
    wrong(
        json!({"Request": {"Path": "/"}, "Backend": "v2"}),
        &ok,
        "backend v2",
    );
    wrong(
        json!({"Request": {"Path": "/"}, "Namespace": "other"}),
        &ok,
        "namespace",
    );
    wrong(case(json!({"Path": "/x"})), &ok, "path");
    wrong(case(json!({"Path": "/", "Host": "b.example"})), &ok, "host");
    wrong(case(json!({"Path": "/", "Method": "PUT"})), &ok, "method");
    right(case(json!({"Path": "/", "Headers": {"X-One": "1,2"}})), &ok);
    wrong(
        case(json!({"Path": "/", "Headers": {"X-One": "1"}})),
        &ok,
        "X-One",
    );
    wrong(
        case(json!({"Path": "/", "Headers": {"X-Two": "1"}})),
        &ok,
        "saw no header X-Two",
    );
    right(case(json!({"Path": "/", "SNI": "b.example"})), &ok);
    wrong(
        case(json!({"Path": "/", "SNI": "a.example"})),
        &ok,
        "server name",
    );
    let absent = json!({"ExpectedRequest": {"Request": {"Path": "/"}, "AbsentHeaders": ["X-ONE"]}});
    wrong(absent, &ok, "expected none");
    let certificate = json!({"Request": {"Path": "/",
        "ClientCert": "gateway-conformance-infra/tls-checks-client-certificate"}});
    wrong(certificate, &ok, "not it");
}

#[test]
fn the_certificate_that_the_upstream_saw_is_the_one_named() {
    let certificates = certificates();
    let secret = "gateway-conformance-infra/tls-checks-client-certificate";
    let der = certificates.pair(secret).unwrap().der();
    let mut said = echo();
    said["tls"]["peerCertificates"] = json!([fingerprint(&der)]);
    let case = expected(json!({"Request": {"Path": "/", "ClientCert": secret}}));
    let asked = "http://127.0.0.1/".parse().unwrap();
    assert_eq!(
        http(&case, &answer(200, &[], &said), &asked, &certificates),
        Ok(())
    );
}

#[test]
fn an_answer_of_the_gateway_itself_is_no_upstreams() {
    let own = answer(200, &[], &Value::Null);
    wrong(
        json!({"Request": {"Path": "/"}, "Backend": "v1"}),
        &own,
        "path",
    );
    right(
        json!({"Request": {"Path": "/a", "Method": "OPTIONS"},
        "ExpectedRequest": {"Request": {"Method": "OPTIONS", "Path": ""}}}),
        &own,
    );
}

#[test]
fn response_headers_are_compared_whatever_the_status() {
    let headers = [("a", "1"), ("a", "2"), ("allow", "GET,  PUT")];
    let allowed = answer(204, &headers, &Value::Null);
    let case = |response: Value| {
        let mut response = response;
        response["StatusCode"] = json!(204);
        json!({"Response": response})
    };
    right(case(json!({"Headers": {"A": "1,2"}})), &allowed);
    wrong(
        case(json!({"Headers": {"A": "1"}})),
        &allowed,
        "response header A",
    );
    wrong(
        case(json!({"Headers": {"B": "1"}})),
        &allowed,
        "no response header B",
    );
    wrong(
        case(json!({"AbsentHeaders": ["a"]})),
        &allowed,
        "expected none",
    );
    right(case(json!({"AbsentHeaders": ["b"]})), &allowed);
    let valid = json!({"ValidHeaderValues": {"allow": ["PUT, GET", "GET, PUT"]}});
    wrong(case(valid.clone()), &allowed, "one of");
    let mut ignoring = valid;
    ignoring["IgnoreWhitespace"] = json!(true);
    right(case(ignoring), &allowed);
}

#[test]
fn each_part_of_a_redirect_is_compared() {
    let to = |location: &str| answer(302, &[("location", location)], &Value::Null);
    let case =
        |redirect: Value| json!({"Response": {"StatusCode": 302}, "RedirectRequest": redirect});
    right(case(json!({})), &to("http://127.0.0.1/asked"));
    right(
        case(json!({"Host": "b", "Port": "81", "Scheme": "https", "Path": "/p"})),
        &to("https://b:81/p"),
    );
    right(case(json!({"Scheme": "https"})), &to("https://b:443/asked"));
    wrong(case(json!({"Host": "c"})), &to("http://b/asked"), "host");
    wrong(case(json!({})), &to("http://b/other"), "path");
    wrong(case(json!({})), &to("https://b/asked"), "scheme");
    wrong(case(json!({})), &to("http://b:81/asked"), "own port");
    wrong(
        case(json!({"Port": "82"})),
        &to("http://b:81/asked"),
        "port",
    );
    wrong(
        case(json!({})),
        &answer(302, &[], &Value::Null),
        "without `location`",
    );
}

#[test]
fn a_reply_is_compared() {
    let case = |value: Value| serde_json::from_value::<Grpc>(value).unwrap();
    let reply = Reply {
        path: "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/EchoTwo".to_owned(),
        namespace: "infra".to_owned(),
        pod: "v1-abc".to_owned(),
        ..Reply::default()
    };
    let two = json!({"EchoTwoRequest": {}, "Backend": "v1", "Namespace": "infra"});
    assert_eq!(grpc(&case(two), &reply), Ok(()));
    for other in [
        json!({"EchoRequest": {}}),
        json!({"EchoTwoRequest": {}, "Backend": "v2"}),
        json!({"EchoTwoRequest": {}, "Namespace": "other"}),
        json!({"EchoTwoRequest": {}, "Response": {"Code": "grpc:Unimplemented"}}),
    ] {
        assert!(grpc(&case(other.clone()), &reply).is_err(), "{other}");
    }
}

#[test]
fn what_the_tcp_echo_says_is_compared() {
    let said =
        json!({"namespace": "infra", "pod": "v1-abc", "isTLS": true, "tls": {"serverName": "a"}});
    let case = |value: Value| serde_json::from_value::<Tcp>(value).unwrap();
    let fits =
        json!({"Namespace": "infra", "Backend": "v1", "BackendIsTLS": true, "Hostname": "a"});
    assert_eq!(tcp(&case(fits.clone()), &said), Ok(()));
    for (field, value) in [
        ("Namespace", json!("other")),
        ("Backend", json!("v")),
        ("BackendIsTLS", json!(false)),
        ("Hostname", json!("b")),
    ] {
        let mut other = fits.clone();
        other[field] = value;
        assert!(tcp(&case(other), &said).is_err(), "{field}");
    }
}

#[test]
fn shares_are_compared() {
    let pods = |counts: &[(&str, usize)]| -> Vec<String> {
        let each = counts
            .iter()
            .flat_map(|(pod, count)| vec![format!("{pod}-abc"); *count]);
        each.collect()
    };
    let wanted = [("v1", 0.7), ("v2", 0.3), ("v3", 0.0)];
    let wanted = wanted
        .map(|(backend, share)| (backend.to_owned(), share))
        .into();
    assert_eq!(shares(&wanted, &pods(&[("v1", 66), ("v2", 34)])), Ok(()));
    assert!(shares(&wanted, &pods(&[("v1", 64), ("v2", 36)])).is_err());
    assert!(shares(&wanted, &pods(&[("v1", 700), ("v2", 300), ("v3", 1)])).is_err());
    assert!(shares(&wanted, &pods(&[("v1", 700), ("v2", 290), ("v4", 10)])).is_err());
}

#[test]
fn an_expectation_that_is_not_understood_is_an_error() {
    assert!(serde_json::from_value::<Http>(json!({"Wanted": 1})).is_err());
    assert!(serde_json::from_value::<Http>(json!({"Response": {"Trailers": {}}})).is_err());
}
