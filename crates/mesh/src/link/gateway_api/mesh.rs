//! Rules for requests to services, on the mesh listener.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::gateway_api::{Name, ServiceRules};

use super::super::Input;
use super::super::clusters::Clusters;
use super::filters::OfListener;
use super::routes::{self, Routes};
use super::{Linked, warning};
use crate::model::Route;

/// Rules whose parent is a Service.
pub(in super::super) struct MeshRules<'a> {
    linked: &'a Linked,
}

impl<'a> MeshRules<'a> {
    pub(super) fn new(linked: &'a Linked, input: Input<'_>) -> Self {
        let own = input.options.own_namespace();
        for rules in &linked.attached.mesh {
            if let (Some(consumer), Some(first)) = (&rules.consumer, rules.entries.first())
                && consumer != own
            {
                let message = format!(
                    "has no effect here: it is for clients in namespace `{consumer}`, and this dispatcher is in `{own}`"
                );
                let route = routes::route_label(&first.rule);
                input
                    .report
                    .add(warning(&first.rule.source, route, message));
            }
        }
        Self { linked }
    }

    /// The routes for a service's port, with who has them; none where nobody attached any. Routes of the clients'
    /// namespace come instead of those of the Service's own, those for one port instead of those for all. The
    /// listener's clients are taken to be in the dispatcher's own namespace.
    pub(in super::super) fn of(
        &self,
        namespace: &str,
        name: &str,
        port: u16,
        clusters: &mut Clusters<'_>,
    ) -> Option<(String, Vec<Arc<Route>>)> {
        let own = clusters.input.options.own_namespace();
        let all = &self.linked.attached.mesh;
        let first = all.partition_point(|rules| key(rules) < (namespace, name));
        let of_service = all[first..]
            .iter()
            .take_while(|rules| key(rules) == (namespace, name));
        let rules = of_service.filter(|rules| {
            rules.port.is_none_or(|of| of == port)
                && rules.consumer.as_deref().is_none_or(|of| of == own)
                && !rules.entries.is_empty()
        });
        let chosen = rules.max_by_key(|rules| (rules.consumer.is_some(), rules.port.is_some()))?;
        let mut routes = Routes {
            linked: self.linked,
            listener: OfListener {
                port: None,
                is_tls: false,
            },
            client_certificate: None,
            made: BTreeMap::new(),
        };
        let names = chosen.entries.iter();
        let names: BTreeSet<_> = names.map(|entry| entry.rule.route.to_string()).collect();
        let names: Vec<_> = names.into_iter().collect();
        Some((names.join(","), routes.of(&chosen.entries, clusters)))
    }
}

fn key(rules: &ServiceRules) -> (&str, &str) {
    let Name { namespace, name } = &rules.service;
    (namespace, name)
}
