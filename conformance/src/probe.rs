//! Sends what a check asks for and judges what comes back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::{HeaderMap, Uri};
use serde_json::{Map, Value, json};

use crate::check::{Outcome, Probe, TlsAsk, UNIQUE};
use crate::client::{self, Answer, Ask, Call, Dialogue, Reply, Tls, Version};
use crate::compare::{self, Seen, Verdict};
use crate::echo::MARK;
use crate::expected::{Grpc, Http, Mirror};
use crate::site::{Site, Target, World};

/// How often in a row a request has to be right, as in the suite.
const REPEAT: usize = 3;

/// Requests for a share. With so many a fair share of 0.7 is off by 0.05 once in a million runs.
const MANY: usize = 2_000;

/// How many of them are under way at a time.
const AT_A_TIME: usize = 16;

/// How long a mirrored request may take to arrive.
const MIRROR_PATIENCE: Duration = Duration::from_secs(5);

/// How far the share of mirrored requests may be off.
const MARGIN: f64 = compare::TOLERANCE;

/// A served folder to which probes are sent.
#[derive(Clone, Copy)]
pub(crate) struct Prober<'a> {
    pub(crate) site: &'a Site,
    pub(crate) world: &'a World,
}

impl Prober<'_> {
    /// Sends it as often as the suite does. The error is the sentence of a failure.
    pub(crate) async fn judge(self, probe: &Probe) -> Verdict {
        match probe {
            Probe::Shares {
                of,
                shares,
                named_in,
            } => self.shares(of, shares, *named_in).await,
            Probe::Http {
                expected, target, ..
            } if expected.mirrored_to.iter().any(|to| to.percent.is_some()) => {
                self.mirrored_share(target, expected).await
            }
            probe => {
                // What waits on purpose is not asked again and again.
                let slow = matches!(probe, Probe::Http { expected, .. } if expected.request.path.contains("delay"));
                for _ in 0..if slow { 1 } else { REPEAT } {
                    self.once(probe).await?;
                }
                Ok(())
            }
        }
    }

    async fn once(self, probe: &Probe) -> Verdict {
        match probe {
            Probe::Http {
                target,
                tls,
                expected,
                outcome,
            } => self.http(target, tls.as_ref(), expected, *outcome).await,
            Probe::Grpc {
                target,
                expected,
                fails,
            } => {
                let reply = said(self.call(target, expected).await)?;
                match (fails, reply.code) {
                    (true, 0) => Err(format!("expected a failure, got OK from {:?}", reply.pod)),
                    (true, _) => Ok(()),
                    (false, _) => compare::grpc(expected, &reply),
                }
            }
            Probe::Tcp {
                target,
                server_name,
                expected,
            } => {
                let told = said(self.dialogue(target, server_name.as_deref()).await)?;
                compare::tcp(expected, &told)
            }
            Probe::Refused {
                target,
                server_name,
            } => {
                let tls = Tls::new(server_name, None, None, &[]);
                let address = said(self.site.address(target))?;
                let dialogue = Dialogue {
                    address,
                    tls: Some(said(tls)?),
                };
                match dialogue.handshake().await {
                    Ok(()) => Err(format!(
                        "a TLS connection naming {server_name} came about, expected none"
                    )),
                    Err(_) => Ok(()),
                }
            }
            Probe::WebSocket { target } => {
                let address = said(self.site.address(target))?;
                let text = "there and back";
                let back = said(client::websocket_echo(address, "/ws", text).await)?;
                match back == text {
                    true => Ok(()),
                    false => Err(format!("expected {text:?} back, got {back:?}")),
                }
            }
            Probe::Shares { .. } => Err("shares within shares".to_owned()),
        }
    }

    async fn http(
        self,
        target: &Target,
        tls: Option<&TlsAsk>,
        expected: &Http,
        outcome: Outcome,
    ) -> Verdict {
        let mark = next_mark();
        if expected.request.protocol == "grpc" {
            let (answer, asked) = said(self.mesh_call(target, expected).await)?;
            return compare::http(expected, &answer, &asked, &self.world.certificates);
        }
        let (ask, expected) = said(self.ask(target, tls, expected, &mark))?;
        let answer = ask.send().await;
        match outcome {
            Outcome::Failure => match answer {
                Ok(answer) if answer.status == 200 => {
                    Err("expected a failure, got status 200".to_owned())
                }
                _ => return Ok(()),
            },
            Outcome::HttpError => match said(answer)?.status {
                // No route would be an error, too, but not the one that is meant.
                404 => Err("expected an HTTP error, got 404: no route is found".to_owned()),
                400.. => return Ok(()),
                status => Err(format!("expected an HTTP error, got status {status}")),
            },
            Outcome::AsExpected => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                let asked = said(
                    format!("{scheme}://{}{}", ask.host, ask.path)
                        .parse()
                        .context("a URL"),
                )?;
                compare::http(&expected, &said(answer)?, &asked, &self.world.certificates)
            }
        }?;
        for mirror in &expected.mirrored_to {
            self.mirrored(&expected, mirror, &mark).await?;
        }
        Ok(())
    }

    /// The request, and the expectation with what was made unique in both.
    fn ask(
        self,
        target: &Target,
        tls: Option<&TlsAsk>,
        expected: &Http,
        mark: &str,
    ) -> Result<(Ask, Http)> {
        let mut expected = expected.clone();
        expected.request.path = expected.request.path.replace(UNIQUE, mark);
        let request = &expected.request;
        let version = match request.protocol.as_str() {
            "H2" | "H2C_PRIOR_KNOWLEDGE" => Version::Two,
            _ => Version::One,
        };
        let alpn: &[u8] = if version == Version::Two {
            b"h2"
        } else {
            b"http/1.1"
        };
        let tls = tls.map(|ask| {
            let pair = |name: &Option<String>| {
                let pair = name.as_ref().map(|name| self.world.certificates.pair(name));
                pair.transpose()
            };
            Tls::new(
                &ask.server_name,
                pair(&ask.server)?,
                pair(&ask.client)?,
                &[alpn],
            )
        });
        let tls = tls.transpose()?;
        let mut headers: Vec<(String, String)> = vec![(MARK.to_owned(), mark.to_owned())];
        headers.extend(request.headers.clone().unwrap_or_default());
        let set: Vec<String> = (expected.backend_set_response_headers.iter())
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        if !set.is_empty() {
            headers.push(("x-echo-set-header".to_owned(), set.join(",")));
        }
        let scheme_port = if tls.is_some() { 443 } else { 80 };
        let ask = Ask {
            address: self.site.address(target)?,
            tls,
            version,
            method: compare::method(&expected),
            host: match request.host.as_str() {
                "" => self.site.host(target, scheme_port)?,
                host => host.to_owned(),
            },
            path: request.path.clone(),
            headers,
        };
        Ok((ask, expected))
    }

    /// Waits for a mirrored request and compares what is to be seen of it.
    async fn mirrored(self, expected: &Http, mirror: &Mirror, mark: &str) -> Verdict {
        let pod = format!("{}-", mirror.backend_ref.name);
        let seen = self.world.log.wait(mark, &pod, 1, MIRROR_PATIENCE).await;
        let seen = seen
            .first()
            .ok_or_else(|| format!("no mirrored request arrived at {}", mirror.backend_ref.name))?;
        let wanted = expected.expected_request.as_ref().map(|seen| &seen.request);
        let path = &wanted.unwrap_or(&expected.request).path;
        if seen.path != *path {
            return Err(format!(
                "expected a mirrored request for {path:?} at {}, got {:?}",
                seen.pod, seen.path
            ));
        }
        for (name, value) in wanted
            .and_then(|seen| seen.headers.as_ref())
            .into_iter()
            .flatten()
        {
            let got = compare::joined(&seen.headers, name);
            if got.as_ref() != Some(value) {
                return Err(format!(
                    "expected header {name} of the mirrored request to be {value:?}, got {got:?}"
                ));
            }
        }
        Ok(())
    }

    /// Many requests, of which a part is to be mirrored.
    async fn mirrored_share(self, target: &Target, expected: &Http) -> Verdict {
        let marks: Vec<String> = (0..MANY).map(|_| next_mark()).collect();
        let without = Http {
            mirrored_to: Vec::new(),
            ..expected.clone()
        };
        let sending = marks.iter().map(|mark| self.marked(target, &without, mark));
        // The first that is wrong ends it: thousands that wait for their time to be over would take too long.
        let sent: Result<Vec<()>, String> = stream::iter(sending)
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await;
        sent?;
        for mirror in &expected.mirrored_to {
            let pod = format!("{}-", mirror.backend_ref.name);
            let share = f64::from(mirror.percent.unwrap_or(100)) / 100.0;
            let least = ((share - MARGIN) * MANY as f64) as usize;
            let got = || {
                marks
                    .iter()
                    .filter(|mark| !self.world.log.with(mark, &pod).is_empty())
                    .count()
            };
            // Mirrors are on their way when their request is answered: the last ones may still arrive.
            let arriving = async {
                while got() < least {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let _all_arrived = tokio::time::timeout(MIRROR_PATIENCE, arriving).await;
            let got = got() as f64 / MANY as f64;
            if (got - share).abs() > MARGIN {
                return Err(format!(
                    "expected {share} of the requests at {}, got {got:.3}",
                    mirror.backend_ref.name
                ));
            }
        }
        Ok(())
    }

    async fn marked(self, target: &Target, expected: &Http, mark: &str) -> Verdict {
        let (ask, expected) = said(self.ask(target, None, expected, mark))?;
        let answer = said(ask.send().await)?;
        let asked = said(
            format!("http://{}{}", ask.host, ask.path)
                .parse()
                .context("a URL"),
        )?;
        compare::http(&expected, &answer, &asked, &self.world.certificates)
    }

    async fn shares(
        self,
        of: &Probe,
        shares: &BTreeMap<String, f64>,
        named_in: Option<&str>,
    ) -> Verdict {
        let sending = (0..MANY).map(|_| self.pod(of, named_in));
        let pods: Vec<String> = stream::iter(sending)
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        compare::shares(shares, &pods)
    }

    /// Which pod a request reached.
    async fn pod(self, of: &Probe, named_in: Option<&str>) -> Result<String, String> {
        let seen = match of {
            Probe::Http {
                target, expected, ..
            } if expected.request.protocol == "grpc" => {
                let (answer, _) = said(self.mesh_call(target, expected).await)?;
                Seen::of(&answer, "GET")
            }
            Probe::Http {
                target, expected, ..
            } => {
                let (ask, expected) = said(self.ask(target, None, expected, &next_mark()))?;
                let answer = said(ask.send().await)?;
                if !expected.statuses().contains(&answer.status) {
                    return Err(format!(
                        "expected status {:?}, got {}",
                        expected.statuses(),
                        answer.status
                    ));
                }
                Seen::of(&answer, "GET")
            }
            Probe::Grpc {
                target, expected, ..
            } => {
                let reply = said(self.call(target, expected).await)?;
                compare::grpc(expected, &reply)?;
                return Ok(reply.pod);
            }
            Probe::Tcp {
                target,
                server_name,
                ..
            } => {
                let told = said(self.dialogue(target, server_name.as_deref()).await)?;
                return Ok(told["pod"].as_str().unwrap_or_default().to_owned());
            }
            _ => return Err("a check without shares".to_owned()),
        };
        if let Some(header) = named_in {
            let name = compare::joined(&seen.headers, header).unwrap_or_default();
            if !seen.pod.starts_with(&format!("{name}-")) {
                return Err(format!(
                    "expected {:?} to see its name in header {header}, got {name:?}",
                    seen.pod
                ));
            }
        }
        Ok(seen.pod)
    }

    async fn call(self, target: &Target, expected: &Grpc) -> Result<Reply> {
        let metadata = &expected.request_metadata;
        let authority = match &metadata.authority {
            Some(authority) => authority.clone(),
            None => self.site.host(target, 80)?,
        };
        let call = Call {
            address: self.site.address(target)?,
            authority,
            method: expected.method(),
            metadata: metadata.metadata.clone().into_iter().collect(),
        };
        call.send().await
    }

    /// A gRPC call in the mesh, which the suite writes down as if it were HTTP: status 200 is OK, and it looks at
    /// neither the path nor the method.
    async fn mesh_call(self, target: &Target, expected: &Http) -> Result<(Answer, Uri)> {
        let request = &expected.request;
        let call = Call {
            address: self.site.address(target)?,
            authority: request.host.clone(),
            method: "Echo",
            metadata: request
                .headers
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        };
        let reply = call.send().await?;
        let wanted = expected
            .expected_request
            .as_ref()
            .map_or(request, |seen| &seen.request);
        let mut headers: Map<String, Value> = Map::new();
        for (name, value) in &reply.seen {
            let values = headers.entry(name.as_str()).or_insert_with(|| json!([]));
            values.as_array_mut().context("a list")?.push(json!(value));
        }
        let body = json!({
            "path": wanted.path, "method": "GET", "host": reply.authority,
            "namespace": reply.namespace, "pod": reply.pod, "headers": headers,
        });
        let answer = Answer {
            status: if reply.code == 0 { 200 } else { 500 },
            headers: HeaderMap::new(),
            body: if reply.code == 0 {
                body.to_string().into()
            } else {
                reply.message.into()
            },
        };
        Ok((answer, "http://echo/".parse()?))
    }

    async fn dialogue(self, target: &Target, server_name: Option<&str>) -> Result<Value> {
        let tls = server_name.map(|name| Tls::new(name, None, None, &[]));
        let dialogue = Dialogue {
            address: self.site.address(target)?,
            tls: tls.transpose()?,
        };
        dialogue.ask().await
    }
}

/// An error of the harness or the connection as the sentence of a failure.
fn said<T>(result: Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{error:#}"))
}

/// Different for every request of this process.
fn next_mark() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("m{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
