//! What a test case expects, and whether an answer is that.

use std::time::Duration;

use mesh::{
    Abort, Action, Decision, Explanation, Fault, HeaderEdits, HeaderOperations, Mesh, Mirror,
    PathRewrite, Redirect, RedirectPort, Rewrite, Route, WeightedDestination,
};

use super::names::{self, Name};
use crate::describe;

/// One thing that is expected.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expected {
    /// `route`: these destinations and no others.
    Route(Vec<Destination>),
    /// `redirect`, as far as it is written.
    Redirect(RedirectTo),
    /// `rewrite`, as far as it is written.
    Rewrite(Rewrite),
    /// `fault`, as far as it is written.
    Fault(Fault),
    /// `headers`, as far as it is written.
    Headers(HeaderEdits),
    /// `delegate`: the VirtualService whose rule it is.
    Delegate {
        /// `None` is any.
        namespace: Option<String>,
        name: String,
    },
    /// `expect.status`: what the client gets.
    Status(u16),
    /// `expect.location`: of a redirect.
    Location(String),
    /// `expect.body`: of a direct response.
    Body(String),
    /// `expect.rule`: the rule's name.
    Rule(String),
    /// `expect.path`: path and query as the server sees them.
    Path(String),
    /// `expect.authority`: host as the server sees it.
    Authority(String),
    /// `expect.shares`: percent of requests, and by how many percent points each may be off.
    Shares(Vec<(Name, f64)>, f64),
    /// `expect.mirrors`: who gets copies, of how many percent of requests if that is said. Empty is nobody.
    Mirrors(Vec<(Name, Option<f64>)>),
    /// `expect.timeout`; `None` is no limit.
    Timeout(Option<Duration>),
    /// `expect.retries`: tries after the first.
    Retries(u32),
}

/// A destination with its weight, if that is said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Destination {
    pub(crate) name: Name,
    pub(crate) weight: Option<u32>,
}

/// The written fields of a redirect.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct RedirectTo {
    pub(crate) uri: Option<String>,
    pub(crate) authority: Option<String>,
    pub(crate) scheme: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) status: Option<u16>,
}

/// What became of a request.
pub(crate) struct Answer<'m> {
    pub(crate) mesh: &'m Mesh,
    pub(crate) explanation: &'m Explanation<'m>,
    /// As the client sent it.
    pub(crate) path_and_query: &'m str,
    pub(crate) authority: &'m str,
    /// Name and namespace of the VirtualService that a place belongs to.
    pub(crate) owner: Option<(String, String)>,
}

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Mismatch {
    /// `route`, `expect.status`
    pub(crate) what: &'static str,
    pub(crate) expected: String,
    pub(crate) got: String,
}

impl Expected {
    /// What is not as expected, if anything.
    pub(crate) fn check(&self, answer: &Answer<'_>) -> Option<Mismatch> {
        let (is_so, what, expected, got) = match self {
            Self::Route(wanted) => (
                answer.goes_to(wanted),
                "route",
                destinations(wanted),
                answer.shown(),
            ),
            Self::Redirect(wanted) => (
                answer.redirect().is_some_and(|actual| wanted.is(actual)),
                "redirect",
                wanted.to_string(),
                answer
                    .redirect()
                    .map_or_else(|| answer.shown(), describe::redirect),
            ),
            Self::Rewrite(wanted) => {
                let actual = answer.route().and_then(|route| route.rewrite.as_ref());
                (
                    actual.is_some_and(|actual| is_rewrite(wanted, actual)),
                    "rewrite",
                    describe::rewrite(wanted),
                    answer.part(actual.map(describe::rewrite)),
                )
            }
            Self::Fault(wanted) => {
                let actual = answer.route().and_then(|route| route.fault.as_deref());
                (
                    actual.is_some_and(|actual| is_fault(wanted, actual)),
                    "fault",
                    describe::fault(wanted),
                    answer.part(actual.map(describe::fault)),
                )
            }
            Self::Headers(wanted) => {
                let actual = answer.route().map(|route| &route.headers);
                let is_so = actual.is_some_and(|actual| {
                    includes(&wanted.request, &actual.request)
                        && includes(&wanted.response, &actual.response)
                });
                let got = actual.filter(|edits| **edits != HeaderEdits::default());
                (is_so, "headers", edits(wanted), answer.part(got.map(edits)))
            }
            Self::Delegate { namespace, name } => {
                let owner = answer.owner.as_ref();
                let is_so = owner.is_some_and(|(of, actual)| {
                    name == actual && namespace.as_ref().is_none_or(|wanted| wanted == of)
                });
                let wanted = match namespace {
                    Some(namespace) => format!("{namespace}/{name}"),
                    None => name.clone(),
                };
                let got = owner.map(|(namespace, name)| format!("{namespace}/{name}"));
                (is_so, "delegate", wanted, answer.part(got))
            }
            _ => self.of_expect(answer),
        };
        (!is_so).then_some(Mismatch {
            what,
            expected,
            got,
        })
    }

    /// The fields of `expect`.
    fn of_expect(&self, answer: &Answer<'_>) -> (bool, &'static str, String, String) {
        let text = |wanted: &String, what, got: Option<String>| {
            let is_so = got.as_ref() == Some(wanted);
            (is_so, what, wanted.clone(), answer.part(got))
        };
        let route = answer.route();
        match self {
            Self::Status(wanted) => match answer.status() {
                Some(status) => (
                    status == *wanted,
                    "expect.status",
                    wanted.to_string(),
                    status.to_string(),
                ),
                None => (
                    false,
                    "expect.status",
                    wanted.to_string(),
                    format!("what the server answers ({}); leave it out", answer.shown()),
                ),
            },
            Self::Location(wanted) => text(wanted, "expect.location", answer.location()),
            Self::Body(wanted) => text(wanted, "expect.body", answer.body()),
            Self::Rule(wanted) => {
                text(wanted, "expect.rule", route.map(|route| route.name.clone()))
            }
            Self::Path(wanted) => text(
                wanted,
                "expect.path",
                answer.seen(&answer.explanation.path_and_query, answer.path_and_query),
            ),
            Self::Authority(wanted) => text(
                wanted,
                "expect.authority",
                answer.seen(&answer.explanation.authority, answer.authority),
            ),
            Self::Shares(wanted, tolerance) => {
                let wanted_text: Vec<_> = wanted
                    .iter()
                    .map(|(name, share)| format!("{} {name}", describe::percent(*share)))
                    .collect();
                let is_so = answer.has_shares(wanted, *tolerance);
                let tolerance = describe::percent(*tolerance);
                let expected = format!("{} (each within {tolerance})", wanted_text.join(", "));
                (is_so, "expect.shares", expected, answer.shown())
            }
            Self::Mirrors(wanted) => {
                let actual = route.map_or(&[][..], |route| &route.mirrors);
                let got: Vec<_> = actual.iter().map(|mirror| answer.mirror(mirror)).collect();
                let wanted_text: Vec<_> = wanted.iter().map(copies).collect();
                let is_so = route.is_some() && answer.has_mirrors(wanted, actual);
                (
                    is_so,
                    "expect.mirrors",
                    or_none(&wanted_text),
                    or_none(&got),
                )
            }
            Self::Timeout(wanted) => {
                let got = route.map(|route| describe::limit(route.timeout));
                text(&describe::limit(*wanted), "expect.timeout", got)
            }
            Self::Retries(wanted) => {
                let got = route.map(|route| route.retries.attempts.to_string());
                text(&wanted.to_string(), "expect.retries", got)
            }
            Self::Route(_)
            | Self::Redirect(_)
            | Self::Rewrite(_)
            | Self::Fault(_)
            | Self::Headers(_)
            | Self::Delegate { .. } => {
                unreachable!("judged by its caller")
            }
        }
    }
}

impl<'m> Answer<'m> {
    /// The rule that takes the request.
    pub(crate) fn route(&self) -> Option<&'m Route> {
        match &self.explanation.decision {
            Decision::Forward { route, .. }
            | Decision::Redirect { route, .. }
            | Decision::DirectResponse { route } => Some(route),
            Decision::Misdirected | Decision::NotFound => None,
        }
    }

    /// What the client gets, where the mesh decides about it.
    fn status(&self) -> Option<u16> {
        let aborts = self.route().and_then(|route| route.fault.as_ref()?.abort);
        if let Some((share, abort)) = aborts
            && share == mesh::Fraction::ALL
        {
            return Some(match abort {
                Abort::Http(status) => status,
                Abort::Grpc(_) => 200,
            });
        }
        match &self.explanation.decision {
            Decision::Misdirected => Some(421),
            Decision::NotFound => Some(404),
            Decision::Redirect { status, .. } => Some(*status),
            Decision::DirectResponse { route } => match &route.action {
                Action::DirectResponse { status, .. } => Some(*status),
                Action::Forward(_) | Action::Redirect(_) => None,
            },
            Decision::Forward { .. } => {
                let statuses: Vec<_> = self
                    .destinations()
                    .iter()
                    .map(|to| self.answered(to))
                    .collect();
                let first = statuses.first().copied().flatten();
                first.filter(|_| statuses.iter().all(|status| *status == first))
            }
        }
    }

    /// With what, if nothing can be sent to a destination. One that no document describes is somewhere else.
    fn answered(&self, to: &WeightedDestination) -> Option<u16> {
        match &to.cluster {
            Ok(id) => self.mesh.cluster(*id).endpoints.is_empty().then_some(503),
            Err(missing) => Some(missing.status),
        }
    }

    fn location(&self) -> Option<String> {
        match &self.explanation.decision {
            Decision::Redirect { location, .. } => Some(location.clone()),
            _ => None,
        }
    }

    fn body(&self) -> Option<String> {
        match &self.route()?.action {
            Action::DirectResponse { body, .. } => Some(String::from_utf8_lossy(body).into_owned()),
            _ => None,
        }
    }

    fn redirect(&self) -> Option<&'m Redirect> {
        match &self.route()?.action {
            Action::Redirect(redirect) => Some(redirect),
            _ => None,
        }
    }

    fn destinations(&self) -> &'m [WeightedDestination] {
        match self.route().map(|route| &route.action) {
            Some(Action::Forward(destinations)) => destinations,
            _ => &[],
        }
    }

    /// What the server sees, if one gets the request.
    fn seen(&self, changed: &Option<String>, sent: &str) -> Option<String> {
        let forwarded = matches!(self.explanation.decision, Decision::Forward { .. });
        forwarded.then(|| changed.clone().unwrap_or_else(|| sent.to_owned()))
    }

    fn goes_to(&self, wanted: &[Destination]) -> bool {
        let actual = self.destinations();
        // Weight 0 among several is nobody's.
        let wanted: Vec<_> = wanted
            .iter()
            .filter(|to| wanted.len() == 1 || to.weight != Some(0))
            .collect();
        let total = |weights: &mut dyn Iterator<Item = u32>| {
            weights.map(u64::from).sum::<u64>().max(1) as f64
        };
        let all = total(&mut wanted.iter().filter_map(|to| to.weight));
        let all_actual = total(&mut actual.iter().map(|to| to.weight));
        let mut left: Vec<&&Destination> = wanted.iter().collect();
        let taken = actual.iter().all(|to| {
            let Some(name) = names::actual(self.mesh, &to.cluster) else {
                return false;
            };
            let share = f64::from(to.weight) / all_actual;
            let fits = |wanted: &Destination| {
                let weight = wanted.weight.filter(|_| actual.len() > 1);
                let weight =
                    weight.is_none_or(|weight| (f64::from(weight) / all - share).abs() < 1e-9);
                weight && wanted.name.means(&name)
            };
            match left.iter().position(|wanted| fits(wanted)) {
                Some(position) => {
                    left.remove(position);
                    true
                }
                None => false,
            }
        });
        !actual.is_empty() && taken && left.is_empty()
    }

    fn has_shares(&self, wanted: &[(Name, f64)], tolerance: f64) -> bool {
        let destinations = self.destinations().iter().zip(&self.explanation.shares);
        let actual: Vec<_> = destinations
            .filter_map(|(to, share)| {
                Some((names::actual(self.mesh, &to.cluster)?, share.share * 100.0))
            })
            .collect();
        let within = |share: f64, of: f64| (share - of).abs() <= tolerance + 1e-9;
        let all_named = actual.iter().all(|(name, share)| {
            within(*share, 0.0) || wanted.iter().any(|(wanted, _)| wanted.means(name))
        });
        !self.destinations().is_empty()
            && all_named
            && wanted.iter().all(|(name, wanted)| {
                let of_name = actual.iter().filter(|(actual, _)| name.means(actual));
                within(of_name.map(|(_, share)| share).sum(), *wanted)
            })
    }

    fn has_mirrors(&self, wanted: &[(Name, Option<f64>)], actual: &[Mirror]) -> bool {
        wanted.len() == actual.len()
            && wanted.iter().all(|(name, share)| {
                actual.iter().any(|mirror| {
                    names::actual(self.mesh, &mirror.cluster)
                        .is_some_and(|actual| name.means(&actual))
                        && share.is_none_or(|share| (mirror.share.percent() - share).abs() < 1e-4)
                })
            })
    }

    fn mirror(&self, mirror: &Mirror) -> String {
        let share = describe::percent(mirror.share.percent());
        format!("{share} {}", names::shown(self.mesh, &mirror.cluster))
    }

    /// What happens, in a few words.
    pub(crate) fn shown(&self) -> String {
        match &self.explanation.decision {
            Decision::Misdirected => "421, as another TLS server has the host".to_owned(),
            Decision::NotFound => match self.explanation.virtual_host {
                Some((host, _)) => format!("404, as no rule of {} takes it", host.name),
                None => "404, as nobody has the host".to_owned(),
            },
            Decision::Redirect {
                status, location, ..
            } => format!("{status} to {location}"),
            Decision::DirectResponse { route } => match &route.action {
                Action::DirectResponse { status, body } => describe::direct_response(*status, body),
                Action::Forward(_) | Action::Redirect(_) => String::new(),
            },
            Decision::Forward { .. } => {
                let shares = self.destinations().iter().zip(&self.explanation.shares);
                let words = shares.map(|(to, share)| {
                    let name = names::shown(self.mesh, &to.cluster);
                    match self.destinations().len() {
                        1 => name,
                        _ => format!("{} {name}", describe::percent(share.share * 100.0)),
                    }
                });
                words.collect::<Vec<_>>().join(", ")
            }
        }
    }

    fn part(&self, part: Option<String>) -> String {
        match (part, self.route()) {
            (Some(part), _) => part,
            (None, Some(_)) => "none".to_owned(),
            (None, None) => self.shown(),
        }
    }
}

impl RedirectTo {
    fn is(&self, actual: &Redirect) -> bool {
        fn same<T: PartialEq>(wanted: &Option<T>, actual: Option<&T>) -> bool {
            wanted.as_ref().is_none_or(|wanted| Some(wanted) == actual)
        }
        let port = match (&self.port, actual.port) {
            (None, _) => true,
            (Some(wanted), RedirectPort::Number(port)) => *wanted == port,
            (Some(wanted), RedirectPort::Default) => matches!(wanted, 80 | 443),
            (Some(_), RedirectPort::Kept) => false,
        };
        port && same(&self.uri, actual.uri.as_ref())
            && same(&self.authority, actual.authority.as_ref())
            && same(&self.scheme, actual.scheme.as_ref())
            && same(&self.status, Some(&actual.status))
    }
}

impl std::fmt::Display for RedirectTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            self.status.map(|status| status.to_string()),
            self.scheme
                .as_ref()
                .map(|scheme| format!("scheme {scheme}")),
            self.authority.as_ref().map(|host| format!("host {host}")),
            self.uri.as_ref().map(|path| format!("path {path}")),
            self.port.map(|port| format!("port {port}")),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

fn is_rewrite(wanted: &Rewrite, actual: &Rewrite) -> bool {
    let path = match (&wanted.path, &actual.path) {
        (None, _) => true,
        (Some(PathRewrite::Regex(wanted)), Some(PathRewrite::Regex(actual))) => wanted == actual,
        (wanted, actual) => wanted == actual,
    };
    let authority = &wanted.authority;
    path && (authority.is_none() || *authority == actual.authority)
}

fn is_fault(wanted: &Fault, actual: &Fault) -> bool {
    (wanted.delay.is_none() || wanted.delay == actual.delay)
        && (wanted.abort.is_none() || wanted.abort == actual.abort)
}

/// Whether everything that is wanted is done.
fn includes(wanted: &HeaderOperations, actual: &HeaderOperations) -> bool {
    let all = |wanted: &[(String, String)], actual: &[(String, String)]| {
        wanted.iter().all(|header| actual.contains(header))
    };
    all(&wanted.set, &actual.set)
        && all(&wanted.add, &actual.add)
        && wanted
            .remove
            .iter()
            .all(|name| actual.remove.contains(name))
}

fn edits(edits: &HeaderEdits) -> String {
    let sides = [("request", &edits.request), ("response", &edits.response)];
    let said = sides
        .iter()
        .filter(|(_, operations)| **operations != HeaderOperations::default());
    let said = said.map(|(side, operations)| format!("{side}: {}", describe::headers(operations)));
    said.collect::<Vec<_>>().join("; ")
}

fn destinations(wanted: &[Destination]) -> String {
    let one = |to: &Destination| match to.weight {
        Some(weight) => format!("{} weight {weight}", to.name),
        None => to.name.to_string(),
    };
    wanted.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn copies((name, share): &(Name, Option<f64>)) -> String {
    match share {
        Some(share) => format!("{} {name}", describe::percent(*share)),
        None => name.to_string(),
    }
}

fn or_none(list: &[String]) -> String {
    if list.is_empty() {
        "none".to_owned()
    } else {
        list.join(", ")
    }
}
