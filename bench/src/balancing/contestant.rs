//! Who is compared: each proxy with the ways of balancing that suit unequal servers.

use anyhow::Result;
use serde_json::{Value, json};

use super::DEADLINE;
use crate::load::HOST;
use crate::peers::dalbi::{self, APPLICATION, SEPARATOR};
use crate::peers::{Bench, Peer, RunningPeer, Site, envoy, haproxy, nginx};

/// A proxy with a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Contestant {
    /// The proxy.
    pub(crate) peer: Peer,
    /// Its policy, as its own configuration calls it.
    pub(crate) policy: &'static str,
}

/// What dalbi does when nothing is said.
const ALBA: &str = "alba";

impl Contestant {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 9] = [
        Self::new(Peer::Dalbi, ALBA),
        Self::new(Peer::Dalbi, "LEAST_REQUEST"),
        Self::new(Peer::Dalbi, "ROUND_ROBIN"),
        Self::new(Peer::Haproxy, "leastconn"),
        Self::new(Peer::Haproxy, "random(2)"),
        Self::new(Peer::Nginx, "least_conn"),
        Self::new(Peer::Nginx, "random two least_conn"),
        Self::new(Peer::Envoy, "least_request"),
        Self::new(Peer::Envoy, "client_side_weighted_round_robin"),
    ];

    const fn new(peer: Peer, policy: &'static str) -> Self {
        Self { peer, policy }
    }

    /// Whether it is what is judged.
    pub(crate) fn is_alba(self) -> bool {
        self == Self::new(Peer::Dalbi, ALBA)
    }

    /// Proxy and policy, for tables and charts.
    pub(crate) fn name(self) -> String {
        let policy = match self.policy {
            // Too long for a column.
            "client_side_weighted_round_robin" => "csw_round_robin",
            "random two least_conn" => "random two",
            policy => policy,
        };
        format!("{} {policy}", self.peer.name())
    }

    /// The simulator's name for what it does. That knows no proxy's extras, such as nginx's `max_fails`.
    pub(crate) fn simulated(self) -> &'static str {
        match self.policy {
            ALBA => ALBA,
            "ROUND_ROBIN" => "round_robin",
            "leastconn" | "least_conn" => "least_request",
            "client_side_weighted_round_robin" => "wrr",
            // Istio's and Envoy's least request compares two.
            _ => "p2c",
        }
    }

    /// What it does by default about servers that fail; nobody was given more than that.
    pub(crate) fn by_default(peer: Peer) -> &'static str {
        match peer {
            Peer::Nginx => "leaves a server out for 10 s after one error or timeout (max_fails=1)",
            Peer::Haproxy => "leaves nobody out without health checks",
            Peer::Envoy => "leaves nobody out without outlier detection",
            Peer::Dalbi | Peer::DalbiRoundRobin => {
                "leaves nobody out without outlierDetection; ALBA weighs success rates"
            }
            Peer::Relay => "",
        }
    }

    /// Starts the proxy on its core, before servers on these ports.
    pub(crate) fn start(self, bench: &mut Bench, servers: &[u16]) -> Result<RunningPeer> {
        match self.peer {
            Peer::Dalbi | Peer::DalbiRoundRobin => dalbi::start(bench, self.peer, |site| {
                documents(site, self.policy, servers)
            }),
            Peer::Haproxy => haproxy::start(bench, |site| haproxy_cfg(site, self.policy, servers)),
            Peer::Nginx => nginx::start(bench, |site| nginx_conf(site, self.policy, servers)),
            Peer::Envoy => envoy::start(bench, |site| envoy_json(site, self.policy, servers)),
            Peer::Relay => anyhow::bail!("a relay does not balance"),
        }
    }
}

/// A gateway with a route, a service with an endpoint a server, and a policy unless it is the one that needs no
/// words.
fn documents(site: &Site, policy: &str, servers: &[u16]) -> String {
    let endpoints: Vec<(String, u16)> = servers
        .iter()
        .map(|&port| ("127.0.0.1".to_owned(), port))
        .collect();
    let deadline_s = DEADLINE.as_secs();
    let mut documents = vec![
        dalbi::gateway(site),
        format!(
            "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: bench
  namespace: bench
spec:
  hosts:
  - {HOST}
  gateways:
  - public
  http:
  - timeout: {deadline_s}s
    retries: {{attempts: 1, retryOn: connect-failure}}
    route:
    - destination:
        host: {APPLICATION}.bench.internal
        port: {{number: 80}}
"
        ),
        dalbi::service_entry(APPLICATION, &endpoints),
    ];
    if policy != ALBA {
        documents.push(dalbi::algorithm(policy));
    }
    documents.join(SEPARATOR)
}

fn haproxy_cfg(site: &Site, policy: &str, servers: &[u16]) -> String {
    let (http, deadline_s) = (site.http, DEADLINE.as_secs());
    let servers: String = servers
        .iter()
        .map(|port| format!("    server s{port} 127.0.0.1:{port}\n"))
        .collect();
    format!(
        "\
global
    nbthread 1

defaults
    mode http
    timeout connect {deadline_s}s
    timeout queue {deadline_s}s
    timeout client 300s
    timeout server {deadline_s}s
    http-reuse always
    option redispatch 1
    retries 1
    retry-on conn-failure

frontend public
    bind 127.0.0.1:{http}
    default_backend application

backend application
    balance {policy}
{servers}"
    )
}

/// nginx cannot tell a failed connection from other errors when it tries again; what is unanswered after the deadline
/// is not tried again, as with the others.
fn nginx_conf(site: &Site, policy: &str, servers: &[u16]) -> String {
    let (http, deadline_s) = (site.http, DEADLINE.as_secs());
    let servers: String = servers
        .iter()
        .map(|port| format!("        server 127.0.0.1:{port};\n"))
        .collect();
    nginx::with_http(
        site,
        &format!(
            "\
    upstream application {{
        {policy};
{servers}\
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{http};
        location / {{
{pass}\
            proxy_connect_timeout {deadline_s}s;
            proxy_read_timeout {deadline_s}s;
            proxy_next_upstream error;
            proxy_next_upstream_tries 2;
        }}
    }}
",
            pass = nginx::PASS
        ),
    )
}

/// The side-by-side run's configuration with other servers, a policy, a deadline and one retry.
fn envoy_json(site: &Site, policy: &str, servers: &[u16]) -> Value {
    let mut configuration = envoy::configuration(site);
    let resources = &mut configuration["static_resources"];
    // Only the plain listener is asked.
    if let Some(listeners) = resources["listeners"].as_array_mut() {
        listeners.truncate(1);
    }
    let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"] = json!({
        "cluster": "application",
        "timeout": format!("{}s", DEADLINE.as_secs()),
        "retry_policy": {"retry_on": "connect-failure", "num_retries": 1},
    });
    let cluster = &mut resources["clusters"][0];
    let endpoints: Vec<Value> = servers
        .iter()
        .map(|&port| json!({"endpoint": {"address": envoy::address(port)}}))
        .collect();
    cluster["load_assignment"]["endpoints"] = json!([{"lb_endpoints": endpoints}]);
    if let Some(cluster) = cluster.as_object_mut() {
        cluster.remove("lb_policy");
    }
    cluster["load_balancing_policy"] = json!({"policies": [{"typed_extension_config": {
        "name": format!("envoy.load_balancing_policies.{policy}"),
        "typed_config": policy_config(policy),
    }}]});
    configuration
}

fn policy_config(policy: &str) -> Value {
    const PREFIX: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies";
    match policy {
        "least_request" => json!({"@type": format!("{PREFIX}.least_request.v3.LeastRequest")}),
        // Its default is to trust no weight for ten seconds, which is longer than a sample.
        weighted => json!({
            "@type": format!("{PREFIX}.{weighted}.v3.ClientSideWeightedRoundRobin"),
            "blackout_period": "1s",
        }),
    }
}
