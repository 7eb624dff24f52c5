use super::*;

#[test]
fn versions_are_found_in_what_the_binaries_say() {
    let haproxy = "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\n";
    assert_eq!(haproxy::version_in(haproxy), Some("2.6.12-1+deb12u4"));
    assert_eq!(
        nginx::version_in("nginx version: nginx/1.22.1\n"),
        Some("1.22.1")
    );
    let envoy = "\nenvoy  version: 9e5580933739/1.40.0/Clean/RELEASE/BoringSSL\n\n";
    assert_eq!(envoy::version_in(envoy), Some("1.40.0"));
    assert_eq!(dalbi::version_in("dalbi 0.1.0\n"), Some("0.1.0"));
    assert_eq!(dalbi::version_in("dalbi unknown\n"), None);
}

#[test]
fn relay_is_left_out_where_it_is_no_floor() {
    let done = Workload::ALL
        .iter()
        .filter(|&&workload| Peer::Relay.supports(workload))
        .count();
    assert_eq!(done, 3);
    assert!(
        Workload::ALL
            .iter()
            .all(|&workload| Peer::Envoy.supports(workload))
    );
}
