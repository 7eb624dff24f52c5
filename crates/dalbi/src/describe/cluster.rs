//! Where requests are sent.

use std::fmt::Debug;

use alba::{OutlierDetection, Policy};
use mesh::{Cluster, EndpointAddress, HashKey, UpstreamProtocol};

use super::duration;

/// What is to be known of a cluster besides its endpoints, by name. Clusters with the same settings treat requests
/// the same.
pub(crate) fn cluster_settings(cluster: &Cluster) -> Vec<(String, String)> {
    let Cluster {
        name: _,
        host: _,
        namespace: _,
        port: _,
        subset: _,
        protocol,
        endpoints: _,
        balancing: settings,
        hash: _,
        user_locality,
        probe_path,
        admission,
        connection_pool,
        tls,
        health_check,
    } = cluster;
    let mut all = vec![
        (
            "protocol".to_owned(),
            match protocol {
                UpstreamProtocol::Http1 => "HTTP/1.1",
                UpstreamProtocol::Http2 => "HTTP/2",
            }
            .to_owned(),
        ),
        ("balancing".to_owned(), balancing(cluster)),
    ];
    flatten("balancing", settings, &mut all);
    flatten("user's place", user_locality, &mut all);
    flatten("probe path", probe_path, &mut all);
    flatten("admission", admission, &mut all);
    flatten("connection pool", connection_pool, &mut all);
    flatten("TLS", tls, &mut all);
    flatten("health check", health_check, &mut all);
    all
}

/// Every field of a value by its path, as its `Debug` has it. New fields come by themselves, and secrets are not
/// printed there.
fn flatten(name: &str, value: &impl Debug, into: &mut Vec<(String, String)>) {
    let mut path: Vec<&str> = Vec::new();
    let text = format!("{value:#?}");
    for line in text.lines() {
        let depth = (line.len() - line.trim_start().len()) / 4;
        let content = line.trim().trim_end_matches(',');
        path.truncate(depth);
        if matches!(content, "}" | ")" | "]") {
            continue;
        }
        let is_name = |key: &str| {
            key.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let (key, rest) = match content.split_once(": ") {
            Some((key, rest)) if is_name(key) => (key, rest),
            _ => ("", content),
        };
        if rest.ends_with(['{', '(', '[']) {
            path.push(key);
        } else {
            let parts = std::iter::once(name)
                .chain(path.iter().copied())
                .chain([key]);
            let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
            into.push((parts.join(" "), rest.to_owned()));
        }
    }
}

/// The algorithm and what it goes by.
pub(crate) fn balancing(cluster: &Cluster) -> String {
    let algorithm = match &cluster.balancing.policy {
        Policy::RoundRobin => "round robin",
        Policy::Random => "random",
        Policy::LeastRequest { choices } => return format!("least request of {choices}"),
        Policy::PeakEwma { .. } => "peak EWMA of 2",
        Policy::Alba(_) => "ALBA",
        Policy::RingHash { .. } => "ring hash",
        Policy::Maglev { .. } => "maglev",
        _ => "another algorithm",
    };
    match &cluster.hash[..] {
        [] => algorithm.to_owned(),
        keys => {
            let keys: Vec<_> = keys.iter().map(hash_key).collect();
            format!("{algorithm} by {}", keys.join(" or "))
        }
    }
}

fn hash_key(key: &HashKey) -> String {
    match key {
        HashKey::Header(name) => format!("header {name}"),
        HashKey::Cookie { name, template } => match template {
            Some(template) if template.ttl.is_zero() => format!("cookie {name}, made if missing"),
            Some(template) => {
                format!(
                    "cookie {name}, made for {} if missing",
                    duration(template.ttl)
                )
            }
            None => format!("cookie {name}"),
        },
        HashKey::SourceIp => "source address".to_owned(),
        HashKey::QueryParameter(name) => format!("query parameter {name}"),
    }
}

/// What puts an endpoint aside, and for how long.
pub(crate) fn outlier_detection(detection: &OutlierDetection) -> String {
    let mut causes = Vec::new();
    for (count, what) in [
        (detection.consecutive_5xx, "5xx"),
        (detection.consecutive_gateway_errors, "gateway errors"),
    ] {
        if count > 0 {
            causes.push(format!("{count} {what} in a row"));
        }
    }
    if detection.split_external_local_origin_errors
        && detection.consecutive_local_origin_failures > 0
    {
        let count = detection.consecutive_local_origin_failures;
        causes.push(format!("{count} failures to get an answer in a row"));
    }
    if detection.success_rate.is_some() {
        causes.push("a success rate far below the others'".to_owned());
    }
    if detection.failure_percentage.is_some() {
        causes.push("too many failures".to_owned());
    }
    if causes.is_empty() {
        return "never".to_owned();
    }
    format!(
        "after {}, for {} at first, at most {}% of endpoints",
        causes.join(" or "),
        duration(detection.base_ejection_time),
        detection.max_ejection_percent
    )
}

/// `10.0.0.7:8080`, `db.example:5432`, `unix:///run/app.sock`.
pub(crate) fn endpoint_address(address: &EndpointAddress) -> String {
    match address {
        EndpointAddress::Ip(address) => address.to_string(),
        EndpointAddress::Dns(name, port) => format!("{name}:{port}"),
        EndpointAddress::DnsFirst(name, port) => format!("{name}:{port} (first address)"),
        EndpointAddress::Unix(path) => format!("unix://{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_path() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "read by Debug")]
        struct Outer {
            plain: u32,
            inner: Option<Inner>,
            list: Vec<&'static str>,
        }
        #[derive(Debug)]
        #[expect(dead_code, reason = "read by Debug")]
        struct Inner {
            text: &'static str,
        }
        let mut found = Vec::new();
        let value = Outer {
            plain: 1,
            inner: Some(Inner { text: "a: {\n(" }),
            list: vec!["x"],
        };
        flatten("it", &value, &mut found);
        flatten("none", &None::<u8>, &mut found);
        let expected = [
            ("it plain", "1"),
            ("it inner text", "\"a: {\\n(\""),
            ("it list", "\"x\""),
            ("none", "None"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, expected);
    }
}
