use super::*;

fn sample(cpu_us: f64, failed: u64) -> Sample {
    Sample {
        cpu_us,
        rps: 1e6 / cpu_us,
        p50_ms: 1.0,
        p99_ms: 2.0,
        failed,
        others_share: 0.0,
    }
}

fn row(peer: Peer, cpu_us: f64) -> Row {
    Row::of(Workload::Small, peer, "1.2", &[sample(cpu_us, 0)]).unwrap()
}

#[test]
fn median_of_odd_and_even_counts() {
    assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
    assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
    assert_eq!(median(std::iter::empty()), None);
}

#[test]
fn row_has_medians_and_all_failures() {
    let samples = [sample(30.0, 1), sample(10.0, 0), sample(20.0, 2)];
    let row = Row::of(Workload::Large, Peer::Nginx, "1", &samples).unwrap();
    assert_eq!(
        (row.cpu_us, row.rps, row.rounds, row.failed),
        (20.0, 50_000.0, 3, 3)
    );
    assert_eq!(Row::of(Workload::Large, Peer::Nginx, "1", &[]), None);
}

#[test]
fn ratio_stays_within_a_workload() {
    let mut rows = vec![row(Peer::Dalbi, 15.0), row(Peer::Haproxy, 20.0)];
    assert_eq!(ratio(&rows, &rows[0], Peer::Haproxy), Some(0.75));
    assert_eq!(ratio(&rows, &rows[0], Peer::Envoy), None);
    rows[1].workload = Workload::Tls;
    assert_eq!(ratio(&rows, &rows[0], Peer::Haproxy), None);
}

#[test]
fn json_has_the_agreed_fields() {
    let text = json(&[row(Peer::Relay, 14.126)]).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value,
        serde_json::json!({"results": [{
            "workload": "1k", "proxy": "relay", "version": "1.2", "cpu_us": 14.13,
            "rps": 70791.4, "p50_ms": 1.0, "p99_ms": 2.0, "rounds": 1,
        }]})
    );
}
