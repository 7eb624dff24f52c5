use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

fn full() -> LoadReport {
    LoadReport {
        cpu_utilization: Some(0.25),
        mem_utilization: Some(0.5),
        application_utilization: Some(1.5),
        rps_fractional: Some(120.5),
        eps: Some(0.1),
        in_flight: Some(7),
        latency: Some(Duration::from_micros(8500)),
        draining: true,
        named_metrics: vec![("kv_cache".to_owned(), 0.75), ("trend".to_owned(), -2e-9)],
    }
}

fn parse(value: &str) -> Result<LoadReport, ParseError> {
    LoadReport::parse(value.as_bytes())
}

#[test]
fn text_is_what_the_documentation_shows() {
    assert_eq!(
        full().to_header(Format::Text),
        "TEXT application_utilization=1.5,cpu_utilization=0.25,mem_utilization=0.5,\
         rps_fractional=120.5,eps=0.1,named_metrics.in_flight=7,named_metrics.latency_ms=8.5,\
         named_metrics.draining=1,named_metrics.kv_cache=0.75,named_metrics.trend=-2e-9"
    );
    assert_eq!(LoadReport::default().to_header(Format::Text), "TEXT ");
    assert_eq!(parse("TEXT ").unwrap(), LoadReport::default());
}

#[test]
fn json_is_the_protobuf_mapping() {
    assert_eq!(
        full().to_header(Format::Json),
        "JSON {\"application_utilization\":1.5,\"cpu_utilization\":0.25,\"mem_utilization\":0.5,\
         \"rps_fractional\":120.5,\"eps\":0.1,\"named_metrics\":{\"in_flight\":7,\"latency_ms\":8.5,\
         \"draining\":1,\"kv_cache\":0.75,\"trend\":-2e-9}}"
    );
    assert_eq!(LoadReport::default().to_header(Format::Json), "JSON {}");
    let report = parse(
        r#"JSON {"cpuUtilization": "0.5", "eps": null, "rps": "9", "requestCost": {"a": [1]},
                "namedMetrics": {"in_flight": 3, "kv\u005fcache": 1}, "utilization": {}}"#,
    )
    .unwrap();
    let expected = LoadReport {
        cpu_utilization: Some(0.5),
        in_flight: Some(3),
        named_metrics: vec![("kv_cache".to_owned(), 1.0)],
        ..LoadReport::default()
    };
    assert_eq!(report, expected);
}

#[test]
fn a_message_spelled_out_by_hand_is_read() {
    // Key and value by key and value, after orca_load_report.proto; what we write is compared elsewhere.
    let mut message = vec![0x09];
    message.extend(0.7f64.to_le_bytes());
    message.extend([0x11]);
    message.extend(0.9f64.to_le_bytes());
    // `rps`, a varint, and a field number that is not known, 32 bits wide.
    message.extend([0x18, 0xe8, 0x07, 0xfd, 0x01, 1, 2, 3, 4]);
    message.extend([0x42, 0x0e, 0x0a, 0x03, b'f', b'o', b'o', 0x11]);
    message.extend(0.1f64.to_le_bytes());
    message.push(0x49);
    message.extend(0.8f64.to_le_bytes());
    let base64 = STANDARD.encode(&message);
    let expected = LoadReport {
        cpu_utilization: Some(0.7),
        mem_utilization: Some(0.9),
        application_utilization: Some(0.8),
        named_metrics: vec![("foo".to_owned(), 0.1)],
        ..LoadReport::default()
    };
    assert_eq!(parse(&format!("BIN {base64}")), Ok(expected.clone()));
    assert_eq!(
        LoadReport::parse_bin(base64.trim_end_matches('=').as_bytes()),
        Ok(expected)
    );
}

#[test]
fn headers_are_found_by_their_names() {
    let value = full().to_header(Format::Text);
    let found =
        |name: &str, value: &str| LoadReport::from_header(name.as_bytes(), value.as_bytes());
    assert_eq!(found("Endpoint-Load-Metrics", &value), Some(Ok(full())));
    assert_eq!(
        found("endpoint-load-metrics-bin", &full().to_header_bin()),
        Some(Ok(full()))
    );
    assert_eq!(found("endpoint-load-metricz", &value), None);
    assert_eq!(found("content-length", "5"), None);
}

#[test]
fn what_envoy_takes_in_text_is_taken() {
    let report = parse("TEXT  cpu_utilization=0.3, ,eps= 1e0 ,named_metrics.a=b=1").unwrap_err();
    assert!(matches!(report, ParseError::Value { .. }), "{report}");
    let report = parse("TEXT  cpu_utilization=0.3, ,eps= 1e0 ,named_metrics.a:b=-1,").unwrap();
    assert_eq!((report.cpu_utilization, report.eps), (Some(0.3), Some(1.0)));
    assert_eq!(report.named_metrics, [("a:b".to_owned(), -1.0)]);
    let before_1_33 = parse("TEXT cpu_utilization:0.3,named_metrics.foo:123").unwrap();
    assert_eq!(before_1_33.cpu_utilization, Some(0.3));
}

#[test]
fn refusals_name_what_is_wrong() {
    let many: Vec<String> = (0..=MAX_METRICS)
        .map(|index| format!("named_metrics.m{index}=1"))
        .collect();
    let many = format!("TEXT {}", many.join(","));
    let long = format!("TEXT named_metrics.{}=1", "m".repeat(MAX_BYTES));
    for (value, expected) in [
        ("", "begins with ``"),
        ("text cpu_utilization=1", "begins with `text `"),
        ("TEXT cpu_utilization", "is not `name=number`"),
        ("TEXT cpu=0.3", "unknown metric `cpu`"),
        ("TEXT named_metrics.=0.3", "unknown metric"),
        ("TEXT eps=1,eps=1", "`eps` is given twice"),
        (
            "TEXT named_metrics.draining=0,named_metrics.draining=0",
            "given twice",
        ),
        (
            "TEXT named_metrics.a=0,named_metrics.a=0",
            "`a` is given twice",
        ),
        ("TEXT eps=", "`` is not a value"),
        ("TEXT eps=NaN", "`NaN` is not a value for metric `eps`"),
        ("TEXT eps=inf", "`inf` is not a value"),
        ("TEXT eps=-1", "`-1` is not a value"),
        ("TEXT named_metrics.in_flight=-1", "`-1` is not a value"),
        ("TEXT named_metrics.in_flight=1e10", "metric `in_flight`"),
        ("JSON {\"eps\":1,\"eps\":1}", "`eps` is given twice"),
        ("JSON {\"eps\":\"NaN\"}", "`NaN` is not a value"),
        ("JSON {\"named_metrics\":{\"\":1}}", "unknown metric ``"),
        ("JSON {\"eps\":{}}", "expected a number"),
        ("JSON []", "expected an object of metrics"),
        ("JSON {} {}", "trailing characters"),
        ("BIN ", "not base64"),
        ("BIN %%%%", "not base64"),
        // A field of 9 bytes in a message of 1; a group; a field number of 0.
        ("BIN CQ==", "not the protobuf message"),
        ("BIN Cw==", "not the protobuf message"),
        ("BIN AQAAAAAAAAAA", "not the protobuf message"),
        (&many, "more than 64 metrics"),
        (&long, "is longer than 4096"),
    ] {
        let message = parse(value).expect_err(value).to_string();
        assert!(message.contains(expected), "{value}: {message}");
    }
}

#[test]
fn a_latency_beyond_a_day_is_a_day() {
    let report = parse("TEXT named_metrics.latency_ms=1e300").unwrap();
    assert_eq!(report.latency, Some(Duration::from_secs(86_400)));
}

#[test]
fn utilization_is_the_applications_unless_it_is_zero() {
    let utilization = |value| parse(value).unwrap().utilization();
    assert_eq!(
        utilization("TEXT application_utilization=0.2,cpu_utilization=0.3"),
        Some(0.2)
    );
    assert_eq!(
        utilization("TEXT application_utilization=0,cpu_utilization=0.3"),
        Some(0.3)
    );
    assert_eq!(utilization("TEXT application_utilization=0"), Some(0.0));
    assert_eq!(utilization("TEXT eps=1"), None);
}

#[test]
fn what_would_be_refused_is_not_written() {
    let names = ["", "in_flight", "a,b", "a=b", "a\"", "ü", "twice", "twice"];
    let mut named_metrics: Vec<_> = names.map(|name| (name.to_owned(), 1.0)).into();
    named_metrics.push(("nan".to_owned(), f64::NAN));
    let report = LoadReport {
        cpu_utilization: Some(f64::INFINITY),
        eps: Some(-1.0),
        latency: Some(Duration::MAX),
        named_metrics,
        ..LoadReport::default()
    };
    let expected = LoadReport {
        latency: Some(Duration::from_secs(86_400)),
        named_metrics: vec![("twice".to_owned(), 1.0)],
        ..LoadReport::default()
    };
    for format in [Format::Text, Format::Json, Format::Bin] {
        assert_eq!(
            parse(&report.to_header(format)),
            Ok(expected.clone()),
            "{format:?}"
        );
    }
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..2.0, any::<f64>()]
}

fn report() -> impl Strategy<Value = LoadReport> {
    (
        prop::array::uniform5(prop::option::of(number())),
        prop::option::of(any::<u32>()),
        prop::option::of(any::<Duration>()),
        any::<bool>(),
        prop::collection::vec((".{0,40}", number()), 0..100),
    )
        .prop_map(|(fields, in_flight, latency, draining, named_metrics)| {
            let [cpu, mem, application, rps, eps] = fields;
            LoadReport {
                cpu_utilization: cpu,
                mem_utilization: mem,
                application_utilization: application,
                rps_fractional: rps,
                eps,
                in_flight,
                latency,
                draining,
                named_metrics,
            }
        })
}

/// Equal but for the last bits of numbers, which serde_json reads as fast as it can.
fn near(left: &LoadReport, right: &LoadReport) -> bool {
    let metrics = |report| crate::metrics::of(report).collect::<Vec<_>>();
    let (left, right) = (metrics(left), metrics(right));
    let mut pairs = left.iter().zip(&right);
    left.len() == right.len()
        && pairs.all(|((left_name, left), (right_name, right))| {
            left_name == right_name && (left - right).abs() <= left.abs() * 1e-12
        })
}

proptest! {
    #[test]
    fn whatever_is_written_reads_back_the_same_in_every_format(report in report()) {
        let text = report.to_header(Format::Text);
        let read = parse(&text).unwrap();
        for format in [Format::Text, Format::Json, Format::Bin] {
            let value = report.to_header(format);
            prop_assert!(value.len() <= MAX_BYTES, "{} bytes", value.len());
            prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{value}");
            // An empty message has no bytes, which is refused as no report.
            if !(format == Format::Bin && read == LoadReport::default()) {
                prop_assert!(near(&parse(&value).unwrap(), &read), "{value} is not {text}");
            }
        }
        prop_assert_eq!(read.in_flight, report.in_flight);
        prop_assert_eq!(read.draining, report.draining);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for prefix in ["", "TEXT ", "JSON ", "BIN "] {
            let value = [prefix.as_bytes(), &bytes].concat();
            if let Ok(report) = LoadReport::parse(&value) {
                prop_assert!(report.named_metrics.len() <= MAX_METRICS);
            }
        }
        // Random bytes are hardly ever base64, and what is within it is worth as much.
        if let Ok(report) = LoadReport::parse_bin(STANDARD.encode(&bytes).as_bytes()) {
            prop_assert!(report.named_metrics.len() <= MAX_METRICS);
        }
    }

    #[test]
    fn no_text_that_is_nearly_right_panics(
        text in "(TEXT|JSON|BIN) [{]?((\"?(eps|named_metrics[.]in_flight|namedMetrics)\"?)?[=:,{}]?[-0-9e.]{0,6}[,}]?){0,6}"
    ) {
        let outcome = LoadReport::parse(text.as_bytes());
        prop_assert_eq!(outcome.clone(), LoadReport::parse(text.as_bytes()), "{:?}", outcome);
    }
}
