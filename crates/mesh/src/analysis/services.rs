//! Services whose ports say too little: IST0118, IST0134; and selectors that find nothing: IST0127.

use super::Input;
use crate::decode::Finding;
use crate::documents::workload::selects;
use crate::protocol::Protocol;

/// Ports whose names don't tell what is spoken. Istio would look at the first bytes; HTTP is assumed here.
pub(super) fn port_names(input: Input<'_>) {
    for object in &input.documents.services {
        // What is spoken outside is not for the name to say.
        if object.spec.external_name.is_some() {
            continue;
        }
        let ports = object.spec.ports.iter();
        for port in ports.filter(|port| port.protocol == Protocol::Unknown) {
            let message = format!(
                "port {} (`{}`) doesn't say its protocol: HTTP is assumed",
                port.number, port.name
            );
            let finding = Finding::info(message).code("IST0118");
            let help = "name it `http-…`, `grpc-…`, `tcp-…` or the like, or set `appProtocol`";
            let context = object.context(input.files, input.report);
            context.report(object.meta.place, finding.help(help));
        }
    }
}

/// TCP ports without an address that tells their connections apart.
pub(super) fn addresses(input: Input<'_>) {
    for object in &input.documents.service_entries {
        if object.spec.has_addresses {
            continue;
        }
        let is_tcp = |protocol| matches!(protocol, Protocol::Opaque | Protocol::Unknown);
        let ports = object.spec.ports.iter();
        for port in ports.filter(|port| is_tcp(port.protocol)) {
            let message = format!(
                "port {} is TCP, or doesn't say what it is, and there are no `addresses` to tell its \
                 connections from others'",
                port.number
            );
            let finding = Finding::warning(message).code("IST0134");
            let help = "set `addresses`, or a `protocol` that names hosts, such as HTTP or TLS";
            let context = object.context(input.files, input.report);
            context.report(object.meta.place, finding.help(help));
        }
    }
}

/// Selectors that select no workload, where there are documents of workloads in their namespace at all.
pub(super) fn without_workloads(input: Input<'_>) {
    let documents = input.documents;
    let pods = documents.pods.iter();
    let pods = pods.map(|pod| (pod.meta.namespace.as_str(), &pod.meta.labels));
    let entries = documents.workload_entries.iter();
    let entries = entries.map(|entry| (entry.meta.namespace.as_str(), &*entry.spec.labels));
    let workloads: Vec<_> = pods.chain(entries).collect();
    let selected = |namespace: &str, selector: &_| {
        let mut own = workloads
            .iter()
            .filter(|(of, _)| *of == namespace)
            .peekable();
        own.peek().is_none() || own.any(|(_, labels)| selects(selector, labels))
    };
    let of_entries = documents.service_entries.iter().filter_map(|object| {
        let selector = object.spec.selector.as_ref()?;
        Some((&object.meta, selector))
    });
    let of_sidecars = documents.sidecars.iter().filter_map(|object| {
        let selector = object.spec.selector.as_ref()?;
        Some((&object.meta, selector))
    });
    for (meta, selector) in of_entries.chain(of_sidecars) {
        if !selected(&meta.namespace, selector) {
            let labels = selector.iter().map(|(key, value)| format!("{key}={value}"));
            let labels = labels.collect::<Vec<_>>().join(",");
            let message = format!(
                "no workload in namespace {} has labels {labels}",
                meta.namespace
            );
            let finding = Finding::warning(message).code("IST0127");
            meta.context(input.files, input.report)
                .report(meta.place, finding);
        }
    }
}
