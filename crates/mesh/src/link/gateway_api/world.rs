//! What there is besides the Gateway API's own documents.

use ::gateway_api::{Name, Service, ServicePort, World};

use super::super::Input;
use super::tls::{check_bundle, check_certificate};
use crate::documents::Metadata;

pub(super) fn of(input: Input<'_>) -> World {
    let documents = input.documents;
    let name = |meta: &Metadata| Name::new(&meta.namespace, &meta.name);
    let secrets = documents.secrets.iter();
    World {
        namespaces: documents
            .namespaces
            .iter()
            .map(|object| (object.meta.name.clone(), object.meta.labels.clone()))
            .collect(),
        services: documents
            .services
            .iter()
            .map(|object| {
                let ports = object.spec.ports.iter().map(|port| ServicePort {
                    number: port.number,
                    name: port.name.clone(),
                    app_protocol: port.app_protocol.clone(),
                });
                let service = Service {
                    ports: ports.collect(),
                };
                (name(&object.meta), service)
            })
            .collect(),
        secrets: secrets
            .clone()
            .map(|object| (name(&object.meta), check_certificate(&object.spec)))
            .collect(),
        ca_secrets: secrets
            .map(|object| {
                let bundle = object.spec.ca();
                (name(&object.meta), check_bundle(bundle.as_deref()))
            })
            .collect(),
        config_maps: documents
            .config_maps
            .iter()
            .map(|object| {
                let bundle = object.spec.data.get("ca.crt");
                let bundle = bundle.map(|text| text.as_bytes());
                (name(&object.meta), check_bundle(bundle))
            })
            .collect(),
    }
}
