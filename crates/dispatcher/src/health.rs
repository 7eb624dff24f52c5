//! Active HTTP health checks.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alba::EndpointId;
use http1::{Limits, RequestKind, ResponseHead, Slots};
use mesh::{HealthCheck, UpstreamProtocol};

use crate::buffer::Buffer;
use crate::clock;
use crate::cluster::Cluster;
use crate::control::Control;
use crate::transport::connect::{Target, connect};
use crate::transport::write_all;

/// How exactly intervals are kept.
const TICK: Duration = Duration::from_millis(50);

/// An endpoint of a cluster, across snapshots: by the cluster's lineage. Clusters that share their endpoints' states
/// share their checks too.
type Checked = (u64, EndpointId);

/// Where an endpoint's checks stand.
#[derive(Debug, Default)]
struct State {
    next: Option<Instant>,
    running: bool,
    good: u32,
    bad: u32,
}

/// Checks the endpoints of every cluster that wants it, for ever.
pub(crate) async fn check(control: Arc<Control>) {
    let states: Rc<RefCell<HashMap<Checked, State>>> = Rc::default();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let in_force = control.in_force();
        let now = Instant::now();
        let mut current = HashSet::new();
        for (_, cluster) in in_force.clusters() {
            let Some(check) = &cluster.config.health_check else {
                continue;
            };
            let members = cluster.members();
            for (endpoint, target) in members
                .balancer
                .endpoints(crate::clock::at(now))
                .zip(&members.targets)
            {
                let key = (cluster.lineage, endpoint.id);
                if !current.insert(key) {
                    continue;
                }
                let mut all = states.borrow_mut();
                let state = all.entry(key).or_default();
                if !state.running && state.next.is_none_or(|next| next <= now) {
                    state.running = true;
                    state.next = Some(now + check.interval);
                    let task = check_one(cluster.clone(), key, target.clone(), states.clone());
                    tokio::task::spawn_local(task);
                }
            }
        }
        states.borrow_mut().retain(|key, _| current.contains(key));
    }
}

async fn check_one(
    cluster: Arc<Cluster>,
    key: Checked,
    target: Target,
    states: Rc<RefCell<HashMap<Checked, State>>>,
) {
    let Some(check) = &cluster.config.health_check else {
        return;
    };
    let answer = tokio::time::timeout(check.timeout, probe(&cluster, check, &target)).await;
    let (good, why) = match answer {
        Ok(Ok(status)) => {
            let good = check
                .expected_statuses
                .iter()
                .any(|range| range.contains(&status));
            (good, format!("status {status}"))
        }
        Ok(Err(error)) => (false, error),
        Err(_) => (false, format!("no answer within {:?}", check.timeout)),
    };
    let mut all = states.borrow_mut();
    let Some(state) = all.get_mut(&key) else {
        return;
    };
    state.running = false;
    (state.good, state.bad) = if good {
        (state.good + 1, 0)
    } else {
        (0, state.bad + 1)
    };
    let (members, name) = (cluster.members(), &cluster.config.name);
    // Only the crossing of a threshold is news.
    if state.good == check.healthy_threshold {
        tracing::info!(cluster = name, endpoint = %target, "endpoint is healthy");
        members.balancer.set_health(key.1, true, clock::now());
    } else if state.bad == check.unhealthy_threshold {
        tracing::warn!(cluster = name, endpoint = %target, why, "endpoint is unhealthy");
        members.balancer.set_health(key.1, false, clock::now());
    }
}

/// One GET on a connection of its own; returns the status.
async fn probe(cluster: &Cluster, check: &HealthCheck, target: &Target) -> Result<u16, String> {
    let io = connect(target, None, cluster.tls.as_ref())
        .await
        .map_err(|error| error.to_string())?;
    let host = check.host.as_deref().unwrap_or(&cluster.config.host);
    if cluster.config.protocol == UpstreamProtocol::Http2 {
        let scheme = if cluster.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let uri = format!("{scheme}://{host}{}", check.path);
        let request = http::Request::get(uri)
            .body(())
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) = h2::client::handshake(io)
            .await
            .map_err(|error| error.to_string())?;
        let driver = tokio::task::spawn_local(connection);
        let (response, _) = sender
            .send_request(request, true)
            .map_err(|error| error.to_string())?;
        let status = response.await.map(|response| response.status().as_u16());
        driver.abort();
        return status.map_err(|error| error.to_string());
    }
    let io = RefCell::new(io);
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: {host}\r\nuser-agent: dalbi-health-check\r\nconnection: close\r\n\r\n",
        check.path
    );
    write_all(&io, head.as_bytes(), &[])
        .await
        .map_err(|error| error.to_string())?;
    let mut buffer = Buffer::default();
    loop {
        if buffer.fill(&io).await.map_err(|error| error.to_string())? == 0 {
            return Err("connection closed before an answer".to_owned());
        }
        let mut slots = Slots::new();
        let kind = RequestKind::default();
        let head = ResponseHead::parse(buffer.filled(), kind, &Limits::default(), &mut slots);
        if let Some(head) = head.map_err(|error| error.to_string())? {
            return Ok(head.status());
        }
    }
}
