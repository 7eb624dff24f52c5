//! Rules that no request reaches: IST0130 and IST0131.

use super::Input;
use crate::decode::{Context, Finding};
use crate::documents::virtual_service::{MatchEntry, Rule, RuleAction};

/// Above so many match entries a VirtualService is not looked at: each is compared with those before it.
const MAX_ENTRIES: usize = 2000;

/// Says which rules of a VirtualService take no request, as earlier ones leave them none, and which entries of
/// `match` add nothing.
pub(super) fn unreachable(input: Input<'_>) {
    for object in &input.documents.virtual_services {
        let entries: usize = object.spec.http.iter().map(|rule| rule.matches.len()).sum();
        if entries > MAX_ENTRIES {
            continue;
        }
        let context = object.context(input.files, input.report);
        let rules = &object.spec.http;
        let mut seen = Seen::default();
        for (position, rule) in rules.iter().enumerate() {
            judge(rule, &seen, context);
            seen.add(rule, position);
        }
    }
}

/// What earlier rules take.
#[derive(Default)]
struct Seen<'r> {
    /// The first rule that takes everything.
    catch_all: Option<usize>,
    entries: Vec<(usize, &'r MatchEntry)>,
}

impl<'r> Seen<'r> {
    fn add(&mut self, rule: &'r Rule, position: usize) {
        // What a delegate takes of it is for the delegate to say.
        if matches!(rule.action, RuleAction::Delegate(_)) {
            return;
        }
        if rule.matches.is_empty() {
            self.catch_all.get_or_insert(position);
        }
        self.entries
            .extend(rule.matches.iter().map(|entry| (position, entry)));
    }

    /// The rule that takes whatever an entry takes.
    fn covers(&self, entry: &MatchEntry) -> Option<usize> {
        let mut earlier = self.entries.iter();
        let found = earlier.find(|(_, earlier)| covers(earlier, entry));
        found.map(|(position, _)| *position)
    }
}

fn judge(rule: &Rule, seen: &Seen<'_>, context: Context<'_>) {
    if let Some(first) = seen.catch_all {
        let message = format!("no request reaches it, as http[{first}] takes all");
        let help = "only the last rule can do without `match`";
        report_unreachable(rule, message, help, context);
        return;
    }
    if rule.matches.is_empty() {
        return;
    }
    let by = rule.matches.iter().map(|entry| seen.covers(entry));
    let by: Vec<_> = by.collect();
    if let Some(covering) = by.iter().copied().collect::<Option<Vec<_>>>() {
        let mut rules: Vec<_> = covering
            .iter()
            .map(|rule| format!("http[{rule}]"))
            .collect();
        rules.dedup();
        let message = format!(
            "no request reaches it, as {} takes all that it would",
            rules.join(" and ")
        );
        report_unreachable(rule, message, "put it before, or remove it", context);
        return;
    }
    for (number, entry) in rule.matches.iter().enumerate() {
        let own = rule.matches[..number]
            .iter()
            .position(|own| covers(own, entry));
        let finding = match (by[number], own) {
            (Some(earlier), _) => {
                format!("adds nothing, as http[{earlier}] takes all that it would")
            }
            (None, Some(own)) => format!("adds nothing to `match[{own}]`"),
            (None, None) => continue,
        };
        context.report(entry.place, Finding::info(finding).code("IST0131"));
    }
}

fn report_unreachable(rule: &Rule, message: String, help: &str, context: Context<'_>) {
    let finding = Finding::warning(message).code("IST0130").help(help);
    context.report(rule.place, finding);
}

/// Whether whatever `later` takes, `earlier` takes too. Both know the same gateways and clients, or `earlier` asks for
/// none.
fn covers(earlier: &MatchEntry, later: &MatchEntry) -> bool {
    let gateways = earlier.gateways.is_empty() || earlier.gateways == later.gateways;
    let port = earlier.port.is_none() || earlier.port == later.port;
    let labels = earlier.source_labels.iter();
    let mut labels = labels.map(|(key, value)| later.source_labels.get(key) == Some(value));
    let namespace =
        earlier.source_namespace.is_none() || earlier.source_namespace == later.source_namespace;
    earlier.can_match
        && gateways
        && port
        && labels.all(|same| same)
        && namespace
        && earlier.request.covers(&later.request)
}
