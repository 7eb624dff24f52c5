//! Rules that a VirtualService leaves to another: `delegate`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::routes::gateway_name;
use super::view::rules_are_exported;
use super::{Input, NOT_FOUND};
use crate::decode::Finding;
use crate::documents::virtual_service::{DelegateTo, MatchEntry, Rule, RuleAction, VirtualService};
use crate::documents::{Documents, Object};
use crate::route::{HeaderMatch, QueryMatch, RequestMatch, StringMatch};

/// VirtualServices without hosts, by namespace and name.
pub(super) struct Delegates<'d>(BTreeMap<(&'d str, &'d str), &'d Object<VirtualService>>);

/// A rule as it is served: as it stands, or a delegate's with what it takes from its root.
pub(super) struct Effective<'d> {
    /// Whose names the rule's are.
    pub(super) object: &'d Object<VirtualService>,
    pub(super) position: usize,
    pub(super) rule: &'d Rule,
    /// The rule that delegates to this one, and whose names are its own.
    pub(super) root: Option<(&'d Object<VirtualService>, &'d Rule)>,
    /// With gateways by their full names where they were merged.
    pub(super) matches: Cow<'d, [MatchEntry]>,
}

impl<'d> Effective<'d> {
    /// The rule's own part, else its root's.
    pub(super) fn part<T>(&self, of: impl Fn(&'d Rule) -> Option<&'d T>) -> Option<&'d T> {
        of(self.rule).or_else(|| of(self.root?.1))
    }
}

impl<'d> Delegates<'d> {
    pub(super) fn build(documents: &'d Documents) -> Self {
        let services = documents.virtual_services.iter();
        let delegates = services.filter(|service| service.spec.hosts.is_empty());
        let by_name = delegates.map(|service| {
            let key = (service.meta.namespace.as_str(), service.meta.name.as_str());
            (key, service)
        });
        Self(by_name.collect())
    }
}

/// The rules of a VirtualService in order, each `delegate` replaced by the rules it leads to.
pub(super) fn rules<'d>(
    object: &'d Object<VirtualService>,
    input: Input<'d>,
) -> impl Iterator<Item = Effective<'d>> {
    let rules = object.spec.http.iter().enumerate();
    rules.flat_map(move |(position, rule)| match &rule.action {
        RuleAction::Delegate(to) => delegated(object, rule, to, input),
        _ => vec![Effective {
            object,
            position,
            rule,
            root: None,
            matches: Cow::Borrowed(&rule.matches),
        }],
    })
}

fn delegated<'d>(
    root: &'d Object<VirtualService>,
    root_rule: &'d Rule,
    to: &DelegateTo,
    input: Input<'d>,
) -> Vec<Effective<'d>> {
    let namespace = to.namespace.as_deref().unwrap_or(&root.meta.namespace);
    let Some(object) = input.delegates.0.get(&(namespace, to.name.as_str())) else {
        let message = format!(
            "VirtualService {namespace}/{} without hosts is not there: the rule is left out",
            to.name.value
        );
        let finding = Finding::warning(message).code(NOT_FOUND);
        let context = root.context(input.files, input.report);
        context.report(to.name.place, finding);
        return Vec::new();
    };
    if !rules_are_exported(object, &root.meta.namespace, input) {
        let message = format!(
            "{} is not exported to namespace {}: the rule is left out",
            object.meta.label, root.meta.namespace
        );
        let context = root.context(input.files, input.report);
        context.report(to.name.place, Finding::warning(message));
        return Vec::new();
    }
    let of_root = in_full(&root_rule.matches, &root.meta.namespace);
    let rules = object.spec.http.iter().enumerate();
    let merged = rules.filter_map(|(position, rule)| {
        let own = in_full(&rule.matches, &object.meta.namespace);
        let Some(matches) = merge_all(&of_root, own) else {
            let message = format!(
                "no request can take this rule, as {} delegates other requests: it is left out",
                root.meta.label
            );
            let help = "each of its match entries has to narrow one of the root's: \
                        a longer prefix, an exact value below it, or something the root doesn't ask for";
            let context = object.context(input.files, input.report);
            context.report(rule.place, Finding::warning(message).help(help));
            return None;
        };
        Some(Effective {
            object,
            position,
            rule,
            root: Some((root, root_rule)),
            matches: Cow::Owned(matches),
        })
    });
    merged.collect()
}

/// Entries whose gateways can be compared.
fn in_full(entries: &[MatchEntry], namespace: &str) -> Vec<MatchEntry> {
    let mut entries = entries.to_vec();
    for gateway in entries.iter_mut().flat_map(|entry| &mut entry.gateways) {
        *gateway = gateway_name(gateway, namespace);
    }
    entries
}

/// Every entry of the delegate together with each of the root's that it narrows; `None` if one narrows none.
fn merge_all(root: &[MatchEntry], own: Vec<MatchEntry>) -> Option<Vec<MatchEntry>> {
    if root.is_empty() {
        return Some(own);
    }
    if own.is_empty() {
        return Some(root.to_vec());
    }
    let mut merged = Vec::new();
    for entry in &own {
        let before = merged.len();
        let fitting = root.iter().filter(|root| narrows(root, entry));
        merged.extend(fitting.map(|root| merge(root, entry)));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

fn merge(root: &MatchEntry, own: &MatchEntry) -> MatchEntry {
    let (wide, narrow) = (&root.request, &own.request);
    let name = match (&wide.name, &narrow.name) {
        (Some(root), Some(own)) => Some(format!("{root}-{own}")),
        (root, own) => own.clone().or_else(|| root.clone()),
    };
    let headers = wide.headers.iter();
    let headers = headers.filter(|header| same_header(narrow, header).is_none());
    let query = wide.query_params.iter();
    let query = query.filter(|query| same_query(narrow, query).is_none());
    let request = RequestMatch {
        name,
        uri: narrow.uri.clone().or_else(|| wide.uri.clone()),
        scheme: narrow.scheme.clone().or_else(|| wide.scheme.clone()),
        method: narrow.method.clone().or_else(|| wide.method.clone()),
        authority: narrow.authority.clone().or_else(|| wide.authority.clone()),
        headers: narrow.headers.iter().chain(headers).cloned().collect(),
        query_params: narrow.query_params.iter().chain(query).cloned().collect(),
    };
    let mut source_labels = root.source_labels.clone();
    source_labels.extend(own.source_labels.clone());
    let gateways = if own.gateways.is_empty() {
        &root.gateways
    } else {
        &own.gateways
    };
    MatchEntry {
        place: own.place,
        gateways: gateways.clone(),
        port: own.port.or(root.port),
        source_labels,
        source_namespace: own
            .source_namespace
            .clone()
            .or_else(|| root.source_namespace.clone()),
        ignore_uri_case: own.ignore_uri_case,
        request,
        can_match: root.can_match && own.can_match,
    }
}

/// Whether a delegate's entry asks for no less than its root's: Istio's rules, to the letter.
fn narrows(root: &MatchEntry, own: &MatchEntry) -> bool {
    let (wide, narrow) = (&root.request, &own.request);
    let uri = |request: &'_ RequestMatch| request.uri.as_ref().map(|uri| uri.matcher.clone());
    let strings = fits(uri(wide).as_ref(), uri(narrow).as_ref())
        && fits(wide.scheme.as_ref(), narrow.scheme.as_ref())
        && fits(wide.method.as_ref(), narrow.method.as_ref())
        && fits(wide.authority.as_ref(), narrow.authority.as_ref());
    let headers = narrow
        .headers
        .iter()
        .all(|header| fits(same_header(wide, header), Some(&header.matcher)));
    let query = narrow
        .query_params
        .iter()
        .all(|query| fits(same_query(wide, query), Some(&query.matcher)));
    let port = root.port.is_none() || own.port.is_none() || root.port == own.port;
    let namespace =
        root.source_namespace.is_none() || root.source_namespace == own.source_namespace;
    let labels = own.source_labels.iter().all(|(key, value)| {
        let wanted = root.source_labels.get(key);
        wanted.is_none_or(|wanted| wanted == value)
    });
    let gateways = root.gateways.is_empty()
        || own
            .gateways
            .iter()
            .all(|gateway| root.gateways.contains(gateway));
    let case = root.ignore_uri_case == own.ignore_uri_case;
    strings && headers && query && port && namespace && labels && gateways && case
}

fn same_header<'m>(request: &'m RequestMatch, like: &HeaderMatch) -> Option<&'m StringMatch> {
    let mut headers = request.headers.iter();
    let found = headers.find(|header| header.name == like.name && header.invert == like.invert);
    found.map(|header| &header.matcher)
}

fn same_query<'m>(request: &'m RequestMatch, like: &QueryMatch) -> Option<&'m StringMatch> {
    let mut query = request.query_params.iter();
    let found = query.find(|query| query.name == like.name);
    found.map(|query| &query.matcher)
}

/// Regular expressions are not compared, so they fit only where the other side asks for nothing.
fn fits(root: Option<&StringMatch>, own: Option<&StringMatch>) -> bool {
    let (Some(root), Some(own)) = (root, own) else {
        return true;
    };
    match (root, own) {
        (StringMatch::Exact(root), StringMatch::Exact(own)) => root == own,
        (StringMatch::Prefix(root), StringMatch::Exact(own) | StringMatch::Prefix(own)) => {
            own.starts_with(&**root)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_delegate_may_ask_for() {
        let exact = |text: &str| Some(StringMatch::Exact(text.into()));
        let prefix = |text: &str| Some(StringMatch::Prefix(text.into()));
        let regex = || Some(StringMatch::Regex(crate::Pattern::new("/a.*").unwrap()));
        for (root, own, expected) in [
            (None, exact("/a"), true),
            (prefix("/a"), None, true),
            (prefix("/a"), prefix("/a/b"), true),
            (prefix("/a"), exact("/ab"), true),
            (prefix("/a/b"), prefix("/a"), false),
            (exact("/a"), exact("/a"), true),
            (exact("/a"), exact("/b"), false),
            (exact("/a"), prefix("/a"), false),
            (regex(), exact("/a"), false),
            (prefix("/a"), regex(), false),
            (None, regex(), true),
            (Some(StringMatch::Present), exact("/a"), false),
        ] {
            assert_eq!(
                fits(root.as_ref(), own.as_ref()),
                expected,
                "{root:?} {own:?}"
            );
        }
    }
}
