//! Names that are served, and which rules they lead to.

use std::collections::BTreeMap;

use mesh::{Listener, Mesh, VirtualHost, VirtualHostId};

use super::{Change, HostDifference, both, routes};

type Patterns = BTreeMap<(String, Option<u16>), VirtualHostId>;

/// Differences between two listeners' hosts; a listener that is not there has none.
pub(super) fn differences(
    (old_mesh, old): (&Mesh, Option<&Listener>),
    (new_mesh, new): (&Mesh, Option<&Listener>),
) -> Vec<HostDifference> {
    let (was_named, is_named) = (patterns(old), patterns(new));
    // Most virtual hosts have several names, which all fare alike.
    let mut groups: BTreeMap<Ids, Vec<(String, Option<u16>)>> = BTreeMap::new();
    for (pattern, old_id, new_id) in both(&was_named, &is_named) {
        let (old_id, new_id) = (old_id.copied(), new_id.copied());
        let ids = Ids {
            before: old_id.or_else(|| fallback(old, &pattern)).map(|id| id.0),
            after: new_id.or_else(|| fallback(new, &pattern)).map(|id| id.0),
            was_named: old_id.is_some(),
            is_named: new_id.is_some(),
        };
        groups.entry(ids).or_default().push(pattern);
    }
    let mut differences: Vec<HostDifference> = groups
        .into_iter()
        .filter_map(|(ids, patterns)| {
            let old = (old_mesh, host(old, ids.before));
            let new = (new_mesh, host(new, ids.after));
            difference(old, new, &ids, patterns)
        })
        .collect();
    differences.sort_by(|a, b| a.hosts.cmp(&b.hosts));
    differences
}

/// Where a name leads before and after; whether by a pattern of its own.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ids {
    before: Option<u32>,
    after: Option<u32>,
    was_named: bool,
    is_named: bool,
}

fn patterns(listener: Option<&Listener>) -> Patterns {
    let found = listener.map_or_else(Vec::new, |listener| listener.hosts.patterns());
    found
        .into_iter()
        .map(|(pattern, port, id)| ((pattern, port), id))
        .collect()
}

fn host(listener: Option<&Listener>, id: Option<u32>) -> Option<&VirtualHost> {
    Some(listener?.hosts.virtual_host(VirtualHostId(id?)))
}

/// Who takes the requests of a name that has no pattern of its own.
fn fallback(
    listener: Option<&Listener>,
    (pattern, port): &(String, Option<u16>),
) -> Option<VirtualHostId> {
    let listener = listener?;
    let name = pattern.replacen('*', "any", 1);
    let authority = match port {
        Some(port) => format!("{name}:{port}"),
        None => name,
    };
    let (id, _) = listener.hosts.lookup(&authority, listener.port)?;
    Some(id)
}

fn difference(
    old: (&Mesh, Option<&VirtualHost>),
    new: (&Mesh, Option<&VirtualHost>),
    ids: &Ids,
    patterns: Vec<(String, Option<u16>)>,
) -> Option<HostDifference> {
    let rules = routes::differences(old, new);
    let change = match (old.1, new.1) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        _ if rules.is_empty() => return None,
        _ => Change::Changed,
    };
    let name = |host: Option<&VirtualHost>| host.map(|host| host.name.clone());
    Some(HostDifference {
        change,
        hosts: names(patterns),
        was_taken_by: name(old.1).filter(|_| !ids.was_named),
        now_taken_by: name(new.1).filter(|_| !ids.is_named),
        rules,
    })
}

/// `host:port`, or `host` where it is for any port and no port is named as well.
fn names(patterns: Vec<(String, Option<u16>)>) -> Vec<String> {
    let with_port: Vec<String> = patterns
        .iter()
        .filter(|(_, port)| port.is_some())
        .map(|(name, _)| name.clone())
        .collect();
    patterns
        .into_iter()
        .filter_map(|(name, port)| match port {
            Some(port) => Some(format!("{name}:{port}")),
            None if with_port.contains(&name) => None,
            None => Some(name),
        })
        .collect()
}
