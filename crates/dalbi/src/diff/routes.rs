//! The rules of one host, before and after.

use std::collections::HashMap;

use mesh::{Mesh, Route, VirtualHost};

use super::{RuleChange, RuleDifference, RuleName, SettingChange, settings_changed};
use crate::describe;

/// A rule with what tells it from others.
struct Rule<'m> {
    route: &'m Route,
    /// What it asks of requests, and how many rules before it ask the same.
    identity: (String, usize),
    settings: Vec<(String, String)>,
}

/// Differences in the order of the rules, those that were removed last.
pub(super) fn differences(
    (old_mesh, old): (&Mesh, Option<&VirtualHost>),
    (new_mesh, new): (&Mesh, Option<&VirtualHost>),
) -> Vec<RuleDifference> {
    let old = rules(old_mesh, old);
    let new = rules(new_mesh, new);
    let alike = |(old, new): (&Rule<'_>, &Rule<'_>)| {
        old.identity == new.identity && old.settings == new.settings
    };
    if old.len() == new.len() && old.iter().zip(&new).all(alike) {
        return Vec::new();
    }
    let positions: HashMap<_, _> = old
        .iter()
        .enumerate()
        .map(|(position, rule)| (&rule.identity, position))
        .collect();
    let before: Vec<Option<usize>> = new
        .iter()
        .map(|rule| positions.get(&rule.identity).copied())
        .collect();
    let moved = moved(&before);
    let mut differences: Vec<RuleDifference> = (0..new.len())
        .filter_map(|position| match before[position] {
            None => Some(one_sided(RuleChange::Added, &new, position)),
            Some(was) => {
                let order = if moved[position] {
                    order(&old, &new, &before, position)
                } else {
                    Order::default()
                };
                changed((&old, was), (&new, position), order)
            }
        })
        .collect();
    let kept: std::collections::HashSet<usize> = before.iter().flatten().copied().collect();
    let removed = (0..old.len()).filter(|position| !kept.contains(position));
    differences.extend(removed.map(|position| one_sided(RuleChange::Removed, &old, position)));
    differences
}

fn rules<'m>(mesh: &Mesh, host: Option<&'m VirtualHost>) -> Vec<Rule<'m>> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let routes = host.into_iter().flat_map(VirtualHost::all_routes);
    routes
        .map(|route| {
            let conditions = describe::conditions(route);
            let count = seen.entry(conditions.clone()).or_default();
            let identity = (conditions, *count);
            *count += 1;
            Rule {
                route,
                identity,
                settings: describe::route_settings(mesh, route),
            }
        })
        .collect()
}

fn name(route: &Route) -> RuleName {
    RuleName {
        name: route.name.clone(),
        source: route.source.to_string(),
    }
}

/// The first rule before this one that leaves it nothing.
fn shadow(rules: &[Rule<'_>], position: usize) -> Option<RuleName> {
    let (before, from) = rules.split_at(position);
    let route = from.first()?.route;
    let covering = before.iter().find(|rule| rule.route.covers(route));
    covering.map(|rule| name(rule.route))
}

fn one_sided(change: RuleChange, rules: &[Rule<'_>], position: usize) -> RuleDifference {
    let Rule {
        route,
        identity,
        settings,
    } = &rules[position];
    let settings = settings.iter().map(|(name, value)| {
        let (before, after) = match change {
            RuleChange::Removed => (Some(value.clone()), None),
            _ => (None, Some(value.clone())),
        };
        SettingChange {
            name: name.clone(),
            before,
            after,
        }
    });
    RuleDifference {
        change,
        rule: name(route),
        conditions: identity.0.clone(),
        settings: settings.collect(),
        shadowed_by: shadow(rules, position),
        now_before: Vec::new(),
        now_behind: Vec::new(),
    }
}

/// Rules that it has changed places with, where that matters.
#[derive(Default)]
struct Order {
    now_before: Vec<RuleName>,
    now_behind: Vec<RuleName>,
}

fn changed(
    (old, was): (&[Rule<'_>], usize),
    (new, is): (&[Rule<'_>], usize),
    order: Order,
) -> Option<RuleDifference> {
    let settings = settings_changed(old[was].settings.clone(), new[is].settings.clone());
    let (before, after) = (shadow(old, was), shadow(new, is));
    let change = if !settings.is_empty() {
        RuleChange::Changed
    } else if before.is_none() && after.is_some() {
        RuleChange::Shadowed
    } else if before.is_some() && after.is_none() {
        RuleChange::Uncovered
    } else if !(order.now_before.is_empty() && order.now_behind.is_empty()) {
        RuleChange::Moved
    } else {
        return None;
    };
    Some(RuleDifference {
        change,
        rule: name(new[is].route),
        conditions: new[is].identity.0.clone(),
        settings,
        shadowed_by: after,
        now_before: order.now_before,
        now_behind: order.now_behind,
    })
}

/// For each rule whether it is one of the fewest that have to be taken out for the others to stand as before: the
/// rules outside of a longest increasing run of their earlier positions.
fn moved(before: &[Option<usize>]) -> Vec<bool> {
    // Patience sorting: the rule that ends the best run of each length, and which rule precedes each.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = vec![None; before.len()];
    for (position, was) in before.iter().enumerate() {
        if let Some(was) = was {
            let length = ends.partition_point(|end| before[*end].is_some_and(|end| end < *was));
            previous[position] = length.checked_sub(1).map(|shorter| ends[shorter]);
            match ends.get_mut(length) {
                Some(end) => *end = position,
                None => ends.push(position),
            }
        }
    }
    let mut moved: Vec<bool> = before.iter().map(Option::is_some).collect();
    let mut next = ends.last().copied();
    while let Some(position) = next {
        moved[position] = false;
        next = previous[position];
    }
    moved
}

/// The rules that a moved one has passed, as far as they take some of the same requests to something else.
fn order(old: &[Rule<'_>], new: &[Rule<'_>], before: &[Option<usize>], position: usize) -> Order {
    let mut order = Order::default();
    let Some(was) = before[position] else {
        return order;
    };
    for (other, other_was) in before.iter().enumerate() {
        let Some(other_was) = *other_was else {
            continue;
        };
        let passed = (position < other) != (was < other_was) && position != other;
        let same = old[was].settings == old[other_was].settings
            && new[position].settings == new[other].settings;
        if !passed || same || !new[position].route.may_overlap(new[other].route) {
            continue;
        }
        if position < other {
            order.now_before.push(name(new[other].route));
        } else {
            order.now_behind.push(name(new[other].route));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_moves() {
        let of = |before: &[Option<usize>]| moved(before);
        assert_eq!(of(&[Some(0), Some(1), Some(2)]), [false, false, false]);
        assert_eq!(of(&[Some(2), Some(0), Some(1)]), [true, false, false]);
        assert_eq!(
            of(&[Some(1), Some(2), None, Some(0)]),
            [false, false, false, true]
        );
        assert_eq!(of(&[]), [false; 0]);
    }
}
