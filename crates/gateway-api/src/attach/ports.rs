//! Ports that several Gateways want. In a cluster each Gateway has an address of its own; here those that name none share
//! the machine's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::gateways::GatewayState;
use super::listeners::transport;
use super::{Input, Problem};
use crate::Name;

/// Who has a port of an address: what is spoken there, and each host name's Gateway.
struct Taken {
    transport: String,
    gateway: Name,
    hosts: BTreeMap<String, Name>,
}

/// Takes the place of listeners that another Gateway, older or first by name, has at the same port and address: the
/// same host name, or another protocol. Routes stay attached to them, but they are not programmed.
pub(super) fn find_taken(input: Input<'_>, gateways: &mut [GatewayState<'_>]) {
    let mut ports: BTreeMap<(u16, Option<IpAddr>), Taken> = BTreeMap::new();
    for gateway in gateways {
        if !gateway.can_be_served() {
            continue;
        }
        let name = gateway.name();
        let addresses: Vec<Option<IpAddr>> = match gateway.addresses.as_slice() {
            [] => vec![None],
            some => some.iter().copied().map(Some).collect(),
        };
        for listener in &mut gateway.listeners {
            if !listener.is_programmed() {
                continue;
            }
            let spec = listener.spec;
            let places = || addresses.iter().map(|address| (spec.port, *address));
            let (speaks, host) = (transport(spec), listener.pattern().to_owned());
            let taken = places().find_map(|place| {
                let taken = ports.get(&place)?;
                if taken.transport != speaks {
                    let what = "another protocol";
                    return (taken.gateway != name).then_some((&taken.gateway, what));
                }
                let other = taken.hosts.get(&host).filter(|other| **other != name)?;
                Some((other, "the same host name"))
            });
            if let Some((other, what)) = taken {
                let message = format!(
                    "listener `{}` is not served: Gateway {other} has port {} of the same address with {what}; give \
                     one of them an address of its own in `spec.addresses`",
                    spec.name, spec.port
                );
                let problem = Problem::new("PortUnavailable", message);
                input.warn(listener.owner, spec.place, &problem);
                listener.unavailable = Some(problem);
                continue;
            }
            for place in places() {
                let taken = ports.entry(place).or_insert_with(|| Taken {
                    transport: speaks.to_owned(),
                    gateway: name.clone(),
                    hosts: BTreeMap::new(),
                });
                let of_host = taken.hosts.entry(host.clone());
                of_host.or_insert_with(|| name.clone());
            }
        }
    }
}
