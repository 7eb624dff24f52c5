//! Which `DestinationRule`s hold for a host.

use std::collections::BTreeMap;

use super::Input;
use crate::decode::Finding;
use crate::documents::Object;
use crate::documents::destination_rule::{DestinationRule, Subset};
use crate::documents::traffic_policy::PortPolicy;
use crate::documents::workload::selects;
use crate::hosts::{HostMap, fully_qualified, pattern_rank};

pub(super) type Rule<'d> = &'d Object<DestinationRule>;

/// Rules by namespace.
pub(super) struct Rules<'d> {
    input: Input<'d>,
    namespaces: BTreeMap<&'d str, Namespace<'d>>,
}

/// A namespace's rules by host.
#[derive(Default)]
struct Namespace<'d> {
    exact: HostMap<Vec<Rule<'d>>>,
    wildcards: BTreeMap<String, Vec<Rule<'d>>>,
}

/// The rules for one host, in order: several in one namespace add up.
#[derive(Clone, Default)]
pub(super) struct HostRules<'d>(Vec<Rule<'d>>);

impl<'d> Rules<'d> {
    pub(super) fn build(input: Input<'d>) -> Self {
        let mut namespaces: BTreeMap<_, Namespace<'_>> = BTreeMap::new();
        for rule in &input.documents.destination_rules {
            let namespace = namespaces.entry(rule.meta.namespace.as_str()).or_default();
            let host = fully_qualified(
                &rule.spec.host,
                &rule.meta.namespace,
                &input.options.cluster_domain,
            );
            if host.starts_with('*') {
                namespace.wildcards.entry(host).or_default().push(rule);
            } else {
                namespace.exact.entry(host.into()).or_default().push(rule);
            }
        }
        let rules = Self { input, namespaces };
        rules.report_unreachable();
        rules
    }

    /// The rules of the client's namespace, else of the service's, else of the root namespace: in each those for the
    /// host itself, else those for the longest wildcard. Of these the ones that are for this client's labels, else
    /// the ones for everybody.
    pub(super) fn of(&self, host: &str, namespace: &str) -> HostRules<'d> {
        let client = self.input.options.own_namespace();
        let root = self.input.documents.mesh_config.root_namespace.as_str();
        // In the root namespace only rules for nobody else are the client's own.
        let is_own = |rule: Rule<'_>| client != root || !self.is_exported(rule);
        let own = self.namespaces.get(client);
        let own = own.and_then(|own| own.find(host, is_own));
        let exported = |namespace: &str| {
            let sees = |rule: Rule<'_>| self.sees(rule, client);
            self.namespaces.get(namespace)?.find(host, sees)
        };
        let found = own
            .or_else(|| exported(namespace))
            .or_else(|| exported(root));
        let (selecting, for_all): (Vec<_>, Vec<_>) = found
            .unwrap_or_default()
            .into_iter()
            .partition(|rule| rule.spec.selector.is_some());
        let labels = self.input.options.labels.as_ref();
        let selects_client = |rule: &Rule<'d>| {
            let selector = labels.zip(rule.spec.selector.as_ref());
            rule.meta.namespace == client
                && selector.is_some_and(|(labels, selector)| selects(selector, labels))
        };
        let selecting: Vec<_> = selecting.into_iter().filter(selects_client).collect();
        HostRules(if selecting.is_empty() {
            for_all
        } else {
            selecting
        })
    }

    fn sees(&self, rule: Rule<'_>, client: &str) -> bool {
        let default = &self.input.documents.mesh_config.destination_rule_export_to;
        let own = rule.meta.namespace.as_str();
        rule.spec.export_to.includes(own, client, default)
    }

    /// Whether everybody sees a rule.
    fn is_exported(&self, rule: Rule<'_>) -> bool {
        // No namespace has this name, so only `*` includes it.
        self.sees(rule, "")
    }

    /// Says which rules have no effect here: those for labels that nobody knows, and those that are not exported.
    fn report_unreachable(&self) {
        let (input, options) = (self.input, self.input.options);
        let client = options.own_namespace();
        for rule in &input.documents.destination_rules {
            let is_foreign = rule.meta.namespace != client;
            let finding = if rule.spec.selector.is_some() && is_foreign {
                let message = format!(
                    "`workloadSelector` is for clients in namespace {} only: this dispatcher runs in {client}",
                    rule.meta.namespace
                );
                Finding::warning(message)
            } else if rule.spec.selector.is_some() && options.labels.is_none() {
                let message = "`workloadSelector` can't be tested, as this dispatcher knows no \
                               labels of its own: the rule has no effect";
                Finding::warning(message).help("give it its labels with `--labels`")
            } else if is_foreign && !self.sees(rule, client) {
                let message = format!(
                    "is not exported to namespace {client}, where this dispatcher runs: it has no effect"
                );
                Finding::warning(message)
            } else {
                continue;
            };
            let context = rule.context(input.files, input.report);
            context.report(rule.spec.host.place, finding);
        }
    }
}

impl<'d> Namespace<'d> {
    /// The rules for a host that `sees` lets through.
    fn find(&self, host: &str, sees: impl Fn(Rule<'d>) -> bool) -> Option<Vec<Rule<'d>>> {
        let visible = |rules: &Vec<Rule<'d>>| {
            let rules: Vec<_> = rules.iter().copied().filter(|rule| sees(rule)).collect();
            (!rules.is_empty()).then_some(rules)
        };
        let by_wildcard = || {
            let wildcards = self.wildcards.iter();
            let fitting = wildcards.filter_map(|(pattern, rules)| {
                Some((pattern_rank(pattern, host)?, visible(rules)?))
            });
            let longest = fitting.max_by_key(|(rank, _)| *rank);
            longest.map(|(_, rules)| rules)
        };
        let exact = self.exact.get(host).and_then(visible);
        exact.or_else(by_wildcard)
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
