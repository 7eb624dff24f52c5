//! What changes for requests between two meshes. Pure: two meshes in, the differences out.
//!
//! A listener is known by its address and port, a host by its name there, a rule by its host and its conditions, a
//! cluster by its name. Where in a file something stands, and what rules are called, makes no difference to requests.

mod clusters;
mod hosts;
mod routes;
mod text;

use std::collections::BTreeMap;

use mesh::{CertificateSource, ClientAuth, Listener, Mesh};
use serde::Serialize;

use crate::describe;

/// All differences; empty if every request is served alike.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Differences {
    pub(crate) listeners: Vec<ListenerDifference>,
    pub(crate) clusters: Vec<ClusterDifference>,
}

/// What became of something that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Added,
    Removed,
    Changed,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ListenerDifference {
    pub(crate) change: Change,
    /// As the newer mesh names it, if that has it.
    pub(crate) name: String,
    /// As in the documents, without `--port-offset`.
    pub(crate) port: u16,
    pub(crate) settings: Vec<SettingChange>,
    pub(crate) hosts: Vec<HostDifference>,
}

/// Names that lead to the same rules, before and after.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct HostDifference {
    pub(crate) change: Change,
    /// In order.
    pub(crate) hosts: Vec<String>,
    /// The virtual host of the wildcard that took these names before, where no other pattern did.
    pub(crate) was_taken_by: Option<String>,
    /// The same for now.
    pub(crate) now_taken_by: Option<String>,
    pub(crate) rules: Vec<RuleDifference>,
}

/// What became of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RuleChange {
    Added,
    Removed,
    Changed,
    /// Nothing but that a rule before it now takes all of its requests.
    Shadowed,
    /// Nothing but that no rule before it takes all of its requests any more.
    Uncovered,
    /// Nothing but its place among rules that take some of the same requests.
    Moved,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct RuleDifference {
    pub(crate) change: RuleChange,
    /// As the newer mesh has it, if it does.
    pub(crate) rule: RuleName,
    pub(crate) conditions: String,
    pub(crate) settings: Vec<SettingChange>,
    /// The rule before it that takes all of its requests, now or (of a rule that was removed) before.
    pub(crate) shadowed_by: Option<RuleName>,
    /// Rules with some of the same requests that it now comes before.
    pub(crate) now_before: Vec<RuleName>,
    /// Rules with some of the same requests that it now comes behind.
    pub(crate) now_behind: Vec<RuleName>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RuleName {
    pub(crate) name: String,
    /// `file:line:column`
    pub(crate) source: String,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ClusterDifference {
    pub(crate) change: Change,
    /// `outbound|9080|v1|reviews.default.svc.cluster.local`
    pub(crate) cluster: String,
    pub(crate) settings: Vec<SettingChange>,
    pub(crate) endpoints: Vec<EndpointDifference>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct EndpointDifference {
    pub(crate) change: Change,
    pub(crate) address: String,
    /// Weight and locality.
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// One thing that is said differently; `None` where it is not said.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct SettingChange {
    pub(crate) name: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

impl SettingChange {
    /// Of something that is not to be shown.
    fn unspoken(name: &str) -> Self {
        let said = |what: &str| Some(what.to_owned());
        Self {
            name: name.to_owned(),
            before: said("what they were"),
            after: said("others"),
        }
    }
}

impl Differences {
    /// What changes for requests when `after` takes the place of `before`.
    pub(crate) fn between(before: &Mesh, after: &Mesh) -> Self {
        Self {
            listeners: listeners(before, after),
            clusters: clusters::differences(before, after),
        }
    }

    /// Whether every request is served alike.
    pub(crate) fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.clusters.is_empty()
    }
}

fn listeners(before: &Mesh, after: &Mesh) -> Vec<ListenerDifference> {
    let by_address = |mesh: &'_ Mesh| -> BTreeMap<_, _> {
        let listeners = mesh.listeners.iter().enumerate();
        listeners
            .map(|(position, listener)| ((listener.port, listener.address), position))
            .collect()
    };
    both(&by_address(before), &by_address(after))
        .into_iter()
        .filter_map(|(_, old, new)| {
            let old = old.map(|position| &before.listeners[*position]);
            let new = new.map(|position| &after.listeners[*position]);
            listener((before, old), (after, new))
        })
        .collect()
}

fn listener(
    (old_mesh, old): (&Mesh, Option<&Listener>),
    (new_mesh, new): (&Mesh, Option<&Listener>),
) -> Option<ListenerDifference> {
    let named = new.or(old)?;
    let settings = |mesh, listener: Option<&Listener>| {
        listener.map_or_else(Vec::new, |listener| {
            describe::listener_settings(mesh, listener)
        })
    };
    let mut settings = settings_changed(settings(old_mesh, old), settings(new_mesh, new));
    if old.is_some() && new.is_some() && secrets(old) != secrets(new) && settings.is_empty() {
        settings.push(SettingChange::unspoken("certificates"));
    }
    let hosts = hosts::differences((old_mesh, old), (new_mesh, new));
    let change = match (old, new) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        _ if settings.is_empty() && hosts.is_empty() => return None,
        _ => Change::Changed,
    };
    Some(ListenerDifference {
        change,
        name: named.name.clone(),
        port: named.port,
        settings,
        hosts,
    })
}

/// What the texts of settings keep to themselves.
fn secrets(listener: Option<&Listener>) -> Vec<(&[CertificateSource], &ClientAuth)> {
    let servers = listener
        .and_then(|listener| listener.tls.as_ref())
        .into_iter();
    servers
        .flat_map(|tls| &tls.servers)
        .map(|server| (&server.certificates[..], &server.client_auth))
        .collect()
}

/// Every key of two maps, in order, with what each has for it.
fn both<'m, K: Ord + Clone, V>(
    before: &'m BTreeMap<K, V>,
    after: &'m BTreeMap<K, V>,
) -> Vec<(K, Option<&'m V>, Option<&'m V>)> {
    let keys: std::collections::BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .map(|key| (key.clone(), before.get(key), after.get(key)))
        .collect()
}

/// Settings that are not the same, in the order in which they are said; those of the same name are one list.
fn settings_changed(
    before: Vec<(String, String)>,
    after: Vec<(String, String)>,
) -> Vec<SettingChange> {
    let before = joined(before);
    let mut after = joined(after);
    let mut changes = Vec::new();
    for (name, old) in before {
        let position = after.iter().position(|(other, _)| *other == name);
        let new = position.map(|position| after.remove(position).1);
        if new.as_ref() != Some(&old) {
            changes.push(SettingChange {
                name,
                before: Some(old),
                after: new,
            });
        }
    }
    changes.extend(after.into_iter().map(|(name, new)| SettingChange {
        name,
        before: None,
        after: Some(new),
    }));
    changes
}

fn joined(settings: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut lists: Vec<(String, String)> = Vec::new();
    for (name, value) in settings {
        match lists.iter_mut().find(|(other, _)| *other == name) {
            Some((_, values)) => {
                values.push_str(", ");
                values.push_str(&value);
            }
            None => lists.push((name, value)),
        }
    }
    lists
}

#[cfg(test)]
mod tests;
