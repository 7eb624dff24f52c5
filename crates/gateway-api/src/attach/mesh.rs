//! Routes whose parent is a Service: for requests that clients within the mesh send there.

use std::collections::BTreeMap;

use manifests::Object;

use super::precedence::sort;
use super::{Input, Problem};
use crate::Name;
use crate::attached::{Entry, ServiceRules};
use crate::documents::reference::ParentRef;
use crate::documents::route::{Route, RouteKind};
use crate::status::ParentReference;

/// Rules by Service, port and consumer's namespace.
#[derive(Default)]
pub(super) struct Mesh {
    rules: BTreeMap<Key, Vec<Entry>>,
}

/// Service, port, consumer's namespace.
type Key = (Name, Option<u16>, Option<String>);

impl Mesh {
    /// Attaches a route to a Service. One in the Service's own namespace counts for every client (a producer's
    /// route), another one for clients of its own namespace (a consumer's).
    pub(super) fn attach(
        &mut self,
        input: Input<'_>,
        object: &Object<Route>,
        parent: &ParentRef,
        reference: &ParentReference,
        entries: &[Entry],
    ) -> Result<(), Problem> {
        let kind = object.spec.kind;
        if !matches!(kind, RouteKind::Http | RouteKind::Grpc) {
            let message = format!(
                "a {} of a Service is not served: only requests are routed in the mesh",
                kind.name()
            );
            return Err(Problem::new("UnsupportedValue", message));
        }
        let service = Name::new(&reference.namespace, &reference.name);
        let Some(found) = input.world.services.get(&service) else {
            let message = format!("Service {service} is not there");
            return Err(Problem::new("NoMatchingParent", message));
        };
        let by_name = |section: &String| found.ports.iter().find(|port| port.name == *section);
        let port = match (&parent.section, parent.port) {
            (Some(section), port) => match by_name(section) {
                Some(found) if port.is_none_or(|port| port == found.number) => Some(found.number),
                _ => {
                    let message = format!("Service {service} has no such port `{section}`");
                    return Err(Problem::new("NoMatchingParent", message));
                }
            },
            (None, Some(port)) if !found.ports.iter().any(|known| known.number == port) => {
                let message = format!("Service {service} has no port {port}");
                return Err(Problem::new("NoMatchingParent", message));
            }
            (None, port) => port,
        };
        let consumer =
            (object.meta.namespace != service.namespace).then(|| object.meta.namespace.clone());
        let rules = self.rules.entry((service, port, consumer)).or_default();
        rules.extend_from_slice(entries);
        Ok(())
    }

    pub(super) fn into_rules(self) -> Vec<ServiceRules> {
        let rules = self.rules.into_iter();
        rules
            .map(|((service, port, consumer), mut entries)| {
                sort(&mut entries);
                ServiceRules {
                    service,
                    port,
                    consumer,
                    entries,
                }
            })
            .collect()
    }
}
