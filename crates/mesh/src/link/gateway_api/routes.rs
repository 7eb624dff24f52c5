//! Rules as routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::gateway_api::{Entry, HttpMatch, HttpRule, PathMatch, PathModifier, TextMatch};

use super::super::clusters::Clusters;
use super::destinations::{Towards, error};
use super::filters::{self, OfListener};
use super::warning;
use crate::documents::virtual_service::default_retries;
use crate::model::{Action, HeaderEdits, RetryOn, RetryPolicy, Route, WeightedDestination};
use crate::route::{HeaderMatch, Pattern, QueryMatch, RequestMatch, StringMatch, UriMatch};

/// Routes made so far for a listener: a rule that several host names have is made once.
pub(super) struct Routes<'a> {
    pub(super) linked: &'a super::Linked,
    pub(super) listener: OfListener,
    pub(super) client_certificate: Option<(&'a ::gateway_api::Name, &'a ::gateway_api::Name)>,
    /// By rule and conditions.
    pub(super) made: BTreeMap<(*const HttpRule, Vec<HttpMatch>), Arc<Route>>,
}

impl Routes<'_> {
    /// Entries as routes in the same order; those of one rule that follow each other are one.
    pub(super) fn of(&mut self, entries: &[Entry], clusters: &mut Clusters<'_>) -> Vec<Arc<Route>> {
        let runs = entries.chunk_by(|a, b| Arc::ptr_eq(&a.rule, &b.rule));
        runs.map(|run| self.one(run, clusters)).collect()
    }

    fn one(&mut self, run: &[Entry], clusters: &mut Clusters<'_>) -> Arc<Route> {
        let rule = &run[0].rule;
        let conditions = run.iter().map(|entry| entry.when.clone()).collect();
        let key = (Arc::as_ptr(rule), conditions);
        if let Some(route) = self.made.get(&key) {
            return Arc::clone(route);
        }
        let towards = Towards {
            linked: self.linked,
            is_grpc: rule.is_grpc,
            client_certificate: self.client_certificate,
        };
        let route = Arc::new(route(rule, &key.1, self.listener, towards, clusters));
        self.made.insert(key, Arc::clone(&route));
        route
    }
}

fn route(
    rule: &HttpRule,
    conditions: &[HttpMatch],
    listener: OfListener,
    towards: Towards<'_>,
    clusters: &mut Clusters<'_>,
) -> Route {
    let filters = &rule.filters;
    let input = clusters.input;
    let mut matches = Vec::new();
    for condition in conditions {
        match request_match(condition, rule) {
            Ok(made) => matches.push(made),
            Err(why) => {
                let message = format!("a match is left out: {why}");
                input
                    .report
                    .add(warning(&rule.source, route_label(rule), message));
            }
        }
    }
    let refuse = |reason: String| {
        Action::Forward(vec![WeightedDestination {
            weight: 1,
            cluster: Err(error(reason)),
            headers: HeaderEdits::default(),
            filters: None,
        }])
    };
    let action = match (&filters.refused, &filters.redirect) {
        (Some(filter), _) => refuse(format!("a filter {filter} is not served")),
        // A rule without any condition left must not take everything.
        _ if matches.is_empty() => refuse("none of the rule's matches can be used".to_owned()),
        (None, Some(of)) => Action::Redirect(filters::redirect(of, listener)),
        (None, None) => Action::Forward(towards.destinations(&rule.backends, listener, clusters)),
    };
    if matches.is_empty() {
        matches.push(RequestMatch {
            uri: Some(path(StringMatch::Exact("\0".into()))),
            ..RequestMatch::default()
        });
    }
    Route {
        name: match &rule.name {
            Some(name) => name.clone(),
            None => format!("{}#{}", rule.route, rule.index),
        },
        matches,
        action,
        headers: filters::headers(filters),
        timeout: rule.timeouts.request,
        retries: retries(rule),
        rewrite: filters::rewrite(filters),
        fault: None,
        mirrors: filters::mirrors(filters, towards, clusters),
        cors: filters.cors.as_ref().map(|of| Arc::new(filters::cors(of))),
        source: rule.source.clone(),
    }
}

/// For findings.
pub(super) fn route_label(rule: &HttpRule) -> String {
    let kind = if rule.is_grpc {
        "GRPCRoute"
    } else {
        "HTTPRoute"
    };
    format!("{kind} {}", rule.route)
}

fn path(matcher: StringMatch) -> UriMatch {
    UriMatch {
        matcher,
        ignore_case: false,
    }
}

fn request_match(condition: &HttpMatch, rule: &HttpRule) -> Result<RequestMatch, String> {
    let uri = match &condition.path {
        PathMatch::Exact(exact) => Some(path(StringMatch::Exact(exact.as_str().into()))),
        PathMatch::Regex(text) => Some(path(StringMatch::Regex(Pattern::new(text)?))),
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            // Every path begins with `/`, so this only says what a replacement replaces.
            let needed = !prefix.is_empty() || replaces_prefix(rule);
            needed.then(|| path(StringMatch::Segments(prefix.into())))
        }
    };
    let text = |matcher: &TextMatch| match matcher {
        TextMatch::Exact(text) => Ok(StringMatch::Exact(text.as_str().into())),
        TextMatch::Regex(text) => Pattern::new(text).map(StringMatch::Regex),
    };
    let headers = condition.headers.iter().map(|(name, matcher)| {
        Ok(HeaderMatch {
            name: name.clone(),
            matcher: text(matcher)?,
            invert: false,
        })
    });
    let query = condition.query.iter().map(|(name, matcher)| {
        Ok(QueryMatch {
            name: name.clone(),
            matcher: text(matcher)?,
        })
    });
    let method = condition.method.as_deref();
    Ok(RequestMatch {
        uri,
        method: method.map(|method| StringMatch::Exact(method.into())),
        headers: headers.collect::<Result<_, String>>()?,
        query_params: query.collect::<Result<_, String>>()?,
        ..RequestMatch::default()
    })
}

fn replaces_prefix(rule: &HttpRule) -> bool {
    let backends = rule.backends.iter().map(|backend| &backend.filters);
    let mut filters = std::iter::once(&rule.filters).chain(backends);
    filters.any(|filters| {
        let redirect = filters.redirect.as_ref().and_then(|of| of.path.as_ref());
        let rewrite = filters.rewrite.as_ref().and_then(|of| of.path.as_ref());
        let mut paths = redirect.into_iter().chain(rewrite);
        paths.any(|path| matches!(path, PathModifier::Prefix(_)))
    })
}

/// Without `retry` what Istio does for any route; with it, what it says, and failed connections too.
fn retries(rule: &HttpRule) -> RetryPolicy {
    let mut policy = default_retries();
    policy.per_try_timeout = rule.timeouts.backend_request;
    if let Some(retry) = &rule.retry {
        policy.attempts = retry.attempts.unwrap_or(policy.attempts);
        policy.statuses.clone_from(&retry.codes);
        policy.backoff = retry.backoff.unwrap_or(policy.backoff);
        policy.on = RetryOn {
            reset: true,
            reset_before_request: true,
            ..policy.on
        };
    }
    policy
}
