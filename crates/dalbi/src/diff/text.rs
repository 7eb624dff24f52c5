//! The differences for people.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{
    Change, ClusterDifference, Differences, HostDifference, ListenerDifference, RuleChange,
    RuleDifference, RuleName, SettingChange,
};

impl Differences {
    /// Writes what changes, listener by listener, and a line that sums up.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        for listener in &self.listeners {
            write_listener(listener, out)?;
        }
        for cluster in &self.clusters {
            write_cluster(cluster, out)?;
        }
        writeln!(out, "{}", self.summary())
    }

    /// `1 listener changed; 1 rule added, 2 rules changed; 1 cluster changed`
    fn summary(&self) -> String {
        if self.is_empty() {
            return "no request is served differently".to_owned();
        }
        let listeners = self.listeners.iter().map(|listener| word(listener.change));
        let hosts = || self.listeners.iter().flat_map(|listener| &listener.hosts);
        let host_changes = hosts().map(|host| word(host.change));
        let rules = hosts().flat_map(|host| &host.rules);
        let clusters = self.clusters.iter().map(|cluster| word(cluster.change));
        let parts = [
            counts("listener", listeners),
            counts("host", host_changes),
            counts("rule", rules.map(|rule| rule_word(rule.change))),
            counts("cluster", clusters),
        ];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("; ")
    }
}

fn counts(what: &str, words: impl Iterator<Item = &'static str>) -> String {
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for word in words {
        *counted.entry(word).or_default() += 1;
    }
    let parts = counted.into_iter().map(|(word, count)| match count {
        1 => format!("1 {what} {word}"),
        count => format!("{count} {what}s {word}"),
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
    }
}

fn rule_word(change: RuleChange) -> &'static str {
    match change {
        RuleChange::Added => "added",
        RuleChange::Removed => "removed",
        RuleChange::Changed => "changed",
        RuleChange::Shadowed => "no longer reached",
        RuleChange::Uncovered => "now reached",
        RuleChange::Moved => "moved",
    }
}

fn sign(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => '~',
    }
}

fn write_listener(listener: &ListenerDifference, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{} listener {} (port {})",
        sign(listener.change),
        listener.name,
        listener.port
    )?;
    write_changes(&listener.settings, "    ", out)?;
    for host in &listener.hosts {
        write_host(host, out)?;
    }
    Ok(())
}

fn write_host(host: &HostDifference, out: &mut impl Write) -> io::Result<()> {
    let shortest = host.hosts.iter().min_by_key(|name| name.len());
    let more = match host.hosts.len() {
        0 | 1 => String::new(),
        2 => " (and 1 more name)".to_owned(),
        count => format!(" (and {} more names)", count - 1),
    };
    let other = match (&host.was_taken_by, &host.now_taken_by) {
        (Some(before), _) => format!(", so far taken by {before}"),
        (_, Some(now)) => format!(", now taken by {now}"),
        (None, None) => String::new(),
    };
    let shortest = shortest.map_or("", String::as_str);
    writeln!(out, "  {} host {shortest}{more}{other}", sign(host.change))?;
    for rule in &host.rules {
        write_rule(rule, out)?;
    }
    Ok(())
}

fn write_rule(rule: &RuleDifference, out: &mut impl Write) -> io::Result<()> {
    let sign = match rule.change {
        RuleChange::Added => '+',
        RuleChange::Removed => '-',
        RuleChange::Changed => '~',
        RuleChange::Shadowed | RuleChange::Uncovered => '!',
        RuleChange::Moved => '^',
    };
    let RuleName { name, source } = &rule.rule;
    writeln!(out, "    {sign} rule {name}  {source}")?;
    writeln!(out, "        takes {}", rule.conditions)?;
    // Of a rule that is there on one side only, that nothing is limited need not be said.
    let changes = !matches!(rule.change, RuleChange::Added | RuleChange::Removed);
    let is_said = |setting: &&SettingChange| {
        changes
            || setting
                .before
                .as_ref()
                .or(setting.after.as_ref())
                .is_none_or(|value| value != "none")
    };
    let settings: Vec<_> = rule.settings.iter().filter(is_said).collect();
    write_settings(&settings, changes, "        ", out)?;
    if let Some(by) = &rule.shadowed_by {
        let tense = match rule.change {
            RuleChange::Removed => "was never reached",
            _ => "is never reached",
        };
        writeln!(
            out,
            "        {tense}: {} before it takes all of its requests  {}",
            by.name, by.source
        )?;
    }
    if rule.change == RuleChange::Uncovered {
        writeln!(
            out,
            "        is reached now: no rule before it takes all of its requests any more"
        )?;
    }
    for (place, others) in [("before", &rule.now_before), ("behind", &rule.now_behind)] {
        for other in others {
            writeln!(
                out,
                "        now {place} {}, which takes some of the same requests  {}",
                other.name, other.source
            )?;
        }
    }
    Ok(())
}

fn write_cluster(cluster: &ClusterDifference, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} cluster {}", sign(cluster.change), cluster.cluster)?;
    write_changes(&cluster.settings, "    ", out)?;
    for endpoint in &cluster.endpoints {
        let change = match (&endpoint.before, &endpoint.after) {
            (Some(before), Some(after)) => format!("{before} -> {after}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => String::new(),
        };
        writeln!(
            out,
            "    {} {}  {change}",
            sign(endpoint.change),
            endpoint.address
        )?;
    }
    Ok(())
}

fn write_changes(settings: &[SettingChange], indent: &str, out: &mut impl Write) -> io::Result<()> {
    write_settings(&settings.iter().collect::<Vec<_>>(), true, indent, out)
}

/// Where nothing `changes`, there is one side only.
fn write_settings(
    settings: &[&SettingChange],
    changes: bool,
    indent: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    /// Longer changes go on two lines.
    const LINE: usize = 80;
    let names = settings.iter().map(|setting| setting.name.chars().count());
    let width = names.max().unwrap_or_default();
    for setting in settings {
        let name = &setting.name;
        match (&setting.before, &setting.after) {
            (Some(before), Some(after)) if before.len() + after.len() > LINE => {
                writeln!(out, "{indent}{name:width$}  {before}")?;
                writeln!(out, "{indent}{:width$}  -> {after}", "")?;
            }
            (Some(before), Some(after)) => {
                writeln!(out, "{indent}{name:width$}  {before} -> {after}")?;
            }
            (Some(before), None) if changes => {
                writeln!(out, "{indent}{name:width$}  {before} -> none")?;
            }
            (None, Some(after)) if changes => {
                writeln!(out, "{indent}{name:width$}  none -> {after}")?;
            }
            (Some(one), None) | (None, Some(one)) => writeln!(out, "{indent}{name:width$}  {one}")?,
            (None, None) => {}
        }
    }
    Ok(())
}
