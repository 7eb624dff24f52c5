//! Which `DestinationRule`s hold for a host.

use std::collections::BTreeMap;

use super::Input;
use crate::documents::Object;
use crate::documents::destination_rule::{DestinationRule, Subset};
use crate::documents::traffic_policy::PortPolicy;
use crate::hosts::{fully_qualified, pattern_rank};

/// Istio's root namespace, whose rules hold for hosts of every namespace.
const ROOT_NAMESPACE: &str = "istio-system";

pub(super) type Rule<'d> = &'d Object<DestinationRule>;

/// Rules by host.
pub(super) struct Rules<'d> {
    exact: BTreeMap<String, Vec<Rule<'d>>>,
    wildcards: BTreeMap<String, Vec<Rule<'d>>>,
}

/// The rules for one host, in order: several in one namespace add up.
#[derive(Clone, Default)]
pub(super) struct HostRules<'d>(Vec<Rule<'d>>);

impl<'d> Rules<'d> {
    pub(super) fn build(input: Input<'d>) -> Self {
        let (mut exact, mut wildcards): (BTreeMap<_, Vec<_>>, BTreeMap<_, Vec<_>>) =
            Default::default();
        for rule in &input.documents.destination_rules {
            let host = fully_qualified(
                &rule.spec.host,
                &rule.meta.namespace,
                &input.options.cluster_domain,
            );
            let target = if host.starts_with('*') {
                &mut wildcards
            } else {
                &mut exact
            };
            target.entry(host).or_default().push(rule);
        }
        Self { exact, wildcards }
    }

    /// The host's own rules, else those of the longest wildcard; of those the ones in the service's namespace,
    /// else in the root namespace, else in the first. (Istio asks the client's namespace before these; with one
    /// cluster for all clients there is none to ask.)
    pub(super) fn of(&self, host: &str, namespace: &str) -> HostRules<'d> {
        let by_wildcard = || {
            let fitting = self
                .wildcards
                .iter()
                .filter_map(|(pattern, rules)| Some((pattern_rank(pattern, host)?, rules)));
            fitting
                .max_by_key(|(rank, _)| *rank)
                .map(|(_, rules)| rules)
        };
        let Some(rules) = self.exact.get(host).or_else(by_wildcard) else {
            return HostRules::default();
        };
        let has = |wanted: &str| rules.iter().any(|rule| rule.meta.namespace == wanted);
        let first = || {
            rules
                .first()
                .map_or(namespace, |rule| rule.meta.namespace.as_str())
        };
        let chosen = [namespace, ROOT_NAMESPACE]
            .into_iter()
            .find(|wanted| has(wanted))
            .unwrap_or_else(first);
        HostRules(
            rules
                .iter()
                .copied()
                .filter(|rule| rule.meta.namespace == chosen)
                .collect(),
        )
    }
}

impl<'d> HostRules<'d> {
    /// A subset by name, with the rule it stands in.
    pub(super) fn subset(&self, name: &str) -> Option<(&'d Subset, Rule<'d>)> {
        let subsets = self
            .0
            .iter()
            .flat_map(|rule| rule.spec.subsets.iter().map(|subset| (subset, *rule)));
        subsets.into_iter().find(|(subset, _)| subset.name == name)
    }

    pub(super) fn subset_names(&self) -> impl Iterator<Item = &'d str> {
        self.0
            .iter()
            .flat_map(|rule| &rule.spec.subsets)
            .map(|subset| subset.name.as_str())
    }

    /// The settings for a port: of the first rule that has any, and those of the subset over them. Comes with the
    /// rule that the TLS settings stand in.
    pub(super) fn policy(
        &self,
        port: u16,
        subset: Option<(&Subset, Rule<'d>)>,
    ) -> (PortPolicy, Option<Rule<'d>>) {
        let with_policy = self
            .0
            .iter()
            .find_map(|rule| Some((rule.spec.policy.as_ref()?.at(port), *rule)));
        let (base, rule) =
            with_policy.map_or((None, None), |(policy, rule)| (Some(policy), Some(rule)));
        let base = base.cloned().unwrap_or_default();
        let Some((subset, subset_rule)) = subset else {
            return (base, rule);
        };
        let own = subset.policy.at(port);
        let rule = if own.tls.is_some() {
            Some(subset_rule)
        } else {
            rule
        };
        (own.over(&base), rule)
    }
}
