//! From nodes to values, noting every mistake instead of stopping at the first.
//!
//! A decoder returns `None` only after it has reported why. [`Fields`] is how objects are read: each field is
//! named once, and [`Fields::finish`] reports the ones that nobody named.

mod scalars;

use std::cell::RefCell;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

pub use scalars::*;
use smallvec::SmallVec;

use crate::diagnostics::{Diagnostic, Severity, Source};
use crate::yaml::{Entry, Node, Place, Value, push_key};

/// Collects findings.
#[derive(Debug, Default)]
pub struct Report {
    diagnostics: RefCell<Vec<Diagnostic>>,
}

impl Report {
    /// Takes in a finding.
    pub fn add(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.error_count() > 0
    }

    /// How many findings are errors.
    pub fn error_count(&self) -> usize {
        let diagnostics = self.diagnostics.borrow();
        let errors = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error);
        errors.count()
    }

    /// All findings, in the order in which they were made.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics.into_inner()
    }
}

/// The document being read, for places and paths in findings.
#[derive(Debug, Clone, Copy)]
pub struct Context<'d> {
    /// The file, as it is named in findings.
    pub file: &'d Arc<Path>,
    /// Which document of the file, counted from 1.
    pub document: u32,
    /// The document, in which paths of fields are found.
    pub root: &'d Node<'d>,
    /// `VirtualService default/reviews`.
    pub object: &'d str,
    /// Where findings go.
    pub report: &'d Report,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub place: Place,
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A finding about to be reported; `help` and `code` can be added.
#[must_use]
pub struct Finding {
    severity: Severity,
    code: Option<&'static str>,
    message: String,
    help: Option<String>,
}

impl Finding {
    /// What the document must not say.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: None,
            message: message.into(),
            help: None,
        }
    }

    /// What is not served as it is written.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// What is served as it is written, and worth knowing.
    pub fn info(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Info,
            ..Self::error(message)
        }
    }

    /// Istio's code for it (`IST0101`).
    pub fn code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    /// What to do about it.
    pub fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// What to do about it, if anything is known.
    pub fn maybe_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }
}

impl<'d> Context<'d> {
    /// Reports a finding about the value at `place`.
    pub fn report(&self, place: Place, finding: Finding) {
        self.report_below(place, None, place, finding);
    }

    /// Reports an error about the value at `place`.
    pub fn error(&self, place: Place, message: impl Into<String>) {
        self.report(place, Finding::error(message));
    }

    /// Reports a warning about the value at `place`.
    pub fn warning(&self, place: Place, message: impl Into<String>) {
        self.report(place, Finding::warning(message));
    }

    /// Reports a finding about `key` of the object at `parent`, which need not be there.
    fn report_below(&self, parent: Place, key: Option<&str>, place: Place, finding: Finding) {
        let mut field = String::new();
        self.root.path_to(parent, &mut field);
        if let Some(key) = key {
            push_key(&mut field, key);
        }
        let Finding {
            severity,
            code,
            message,
            help,
        } = finding;
        let source = self.source(place);
        let object = self.object.to_owned();
        self.report.add(Diagnostic {
            severity,
            code,
            source,
            object,
            field,
            message,
            help,
        });
    }

    /// The place, with its file.
    pub fn source(&self, place: Place) -> Source {
        Source {
            file: Arc::clone(self.file),
            line: place.line,
            column: place.column,
            document: self.document,
        }
    }
}

/// An object being read field by field.
pub struct Fields<'d> {
    /// Where findings go.
    pub context: Context<'d>,
    /// Where the object begins.
    pub place: Place,
    entries: &'d [Entry<'d>],
    /// Bit by bit, the entries that were asked for. Those beyond are told by `known` alone.
    seen: u64,
    /// For "did you mean". Held in place, as there is one for each object of each document.
    known: SmallVec<[Known; 12]>,
}

/// Names of fields that somebody asked for.
#[derive(Clone, Copy)]
enum Known {
    One(&'static str),
    Names(&'static [&'static str]),
    Table(&'static [NotServed]),
}

/// Why a field of Istio's or Kubernetes' API is not read, for the tables in the decoders.
pub type NotServed = (&'static str, &'static str);

impl<'d> Fields<'d> {
    /// Begins to read an object.
    pub fn of(node: &'d Node<'d>, context: Context<'d>) -> Option<Self> {
        let entries = match &node.value {
            Value::Mapping(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                context.error(
                    node.place,
                    format!("must be an object, but is {}", kind_of(node)),
                );
                return None;
            }
        };
        Some(Self {
            context,
            place: node.place,
            entries,
            seen: 0,
            known: SmallVec::new(),
        })
    }

    /// The node of a field; `null` counts as absent, as in protobuf's JSON.
    pub fn node(&mut self, name: &'static str) -> Option<&'d Node<'d>> {
        self.known.push(Known::One(name));
        let position = self.entries.iter().position(|entry| entry.key == name)?;
        self.see(position);
        let node = &self.entries[position].value;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    fn see(&mut self, position: usize) {
        if position < 64 {
            self.seen |= 1 << position;
        }
    }

    /// Entries that nobody asked for so far, or which are not counted.
    fn unseen(&self) -> impl Iterator<Item = (usize, &'d Entry<'d>)> + use<'d> {
        let seen = self.seen;
        let entries = self.entries.iter().enumerate();
        entries.filter(move |(position, _)| *position >= 64 || seen >> position & 1 == 0)
    }

    /// Whether the field was written at all, be it as `null`.
    pub fn is_written(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == name)
    }

    /// What `decode` reads from the field, if it is there.
    pub fn optional<T>(&mut self, name: &'static str, decode: impl Decode<'d, T>) -> Option<T> {
        let node = self.node(name)?;
        decode(node, self.context)
    }

    /// As [`Self::optional`], but its absence is an error.
    pub fn required<T>(&mut self, name: &'static str, decode: impl Decode<'d, T>) -> Option<T> {
        match self.node(name) {
            Some(node) => decode(node, self.context),
            None => {
                self.error_at(name, "is required");
                None
            }
        }
    }

    /// The items of a list; absent is empty. Items that can't be decoded are reported and left out.
    pub fn list<T>(&mut self, name: &'static str, decode: impl Decode<'d, T>) -> Vec<T> {
        self.optional(name, list_of(decode)).unwrap_or_default()
    }

    /// Reports each field of the table that is written as "not served yet".
    pub fn not_served(&mut self, table: &'static [NotServed]) {
        self.known.push(Known::Table(table));
        for (position, entry) in self.entries.iter().enumerate() {
            let Some((name, consequence)) = table.iter().find(|(name, _)| entry.key == *name)
            else {
                continue;
            };
            self.see(position);
            if entry.value.value != Value::Null {
                let finding =
                    Finding::warning(format!("`{name}` is not served yet: {consequence}"));
                self.context
                    .report_below(self.place, Some(name), entry.value.place, finding);
            }
        }
    }

    /// Fields that have no bearing on what is served.
    pub fn accept(&mut self, names: &'static [&'static str]) {
        self.known.push(Known::Names(names));
    }

    /// Reports an error about a field, at its place if it is there.
    pub fn error_at(&self, name: &str, message: impl Into<String>) {
        self.report_at(name, Finding::error(message));
    }

    /// Reports a finding about a field, at its place if it is there.
    pub fn report_at(&self, name: &str, finding: Finding) {
        let entry = self.entries.iter().find(|entry| entry.key == name);
        let place = entry.map_or(self.place, |entry| entry.key_place);
        self.context
            .report_below(self.place, Some(name), place, finding);
    }

    /// Reports an error about the whole object.
    pub fn error(&self, message: impl Into<String>) {
        self.context.error(self.place, message);
    }

    /// Reports fields that nobody asked for.
    pub fn finish(self) {
        for (_, entry) in self.unseen() {
            let mut known = self.known.iter().flat_map(Known::names);
            if !known.any(|name| name == entry.key) {
                let finding = Finding::error(format!("unknown field `{}`", entry.key));
                let known = self.known.iter().flat_map(Known::names);
                let finding = finding.maybe_help(did_you_mean(&entry.key, known));
                self.context
                    .report_below(self.place, Some(&entry.key), entry.key_place, finding);
            }
        }
    }
}

impl Known {
    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let (one, names, table): (_, &[_], &[NotServed]) = match *self {
            Self::One(name) => (Some(name), &[], &[]),
            Self::Names(names) => (None, names, &[]),
            Self::Table(table) => (None, &[], table),
        };
        let one_or_names = one.into_iter().chain(names.iter().copied());
        one_or_names.chain(table.iter().map(|(name, _)| *name))
    }
}

/// Reads a value, reporting why where it can't.
pub trait Decode<'d, T>: Fn(&'d Node<'d>, Context<'d>) -> Option<T> {}

impl<'d, T, F: Fn(&'d Node<'d>, Context<'d>) -> Option<T>> Decode<'d, T> for F {}

/// A list of what `decode` reads.
pub fn list_of<'d, T>(decode: impl Decode<'d, T>) -> impl Decode<'d, Vec<T>> {
    move |node, context| {
        let Value::Sequence(items) = &node.value else {
            context.error(
                node.place,
                format!("must be a list, but is {}", kind_of(node)),
            );
            return None;
        };
        Some(
            items
                .iter()
                .filter_map(|item| decode(item, context))
                .collect(),
        )
    }
}

/// Pairs of an object with free keys, in order of the keys.
pub fn map_of<'d, T>(decode: impl Decode<'d, T>) -> impl Decode<'d, Vec<(&'d str, T)>> {
    move |node, context| {
        let entries = Fields::of(node, context)?.entries;
        let mut pairs: Vec<_> = entries
            .iter()
            .filter_map(|entry| Some((&*entry.key, decode(&entry.value, context)?)))
            .collect();
        pairs.sort_by_key(|(key, _)| *key);
        Some(pairs)
    }
}

/// What `decode` reads, with its place.
pub fn located<'d, T>(decode: impl Decode<'d, T>) -> impl Decode<'d, Located<T>> {
    move |node, context| {
        Some(Located {
            value: decode(node, context)?,
            place: node.place,
        })
    }
}

/// "did you mean `subset`?", if one of the names is near.
pub fn did_you_mean<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let folded = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let written = folded(written);
    let limit = (written.len() / 3).clamp(1, 3);
    let nearest = names
        .into_iter()
        .map(|name| (edit_distance(&written, &folded(name)), name))
        .min();
    nearest
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, name)| format!("did you mean `{name}`?"))
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        let names = ["retries", "timeout", "rewrite", "perTryTimeout"];
        assert_eq!(
            did_you_mean("retrys", names).as_deref(),
            Some("did you mean `retries`?")
        );
        assert_eq!(
            did_you_mean("per_try_timeout", names).as_deref(),
            Some("did you mean `perTryTimeout`?")
        );
        assert_eq!(
            did_you_mean("tiemout", names).as_deref(),
            Some("did you mean `timeout`?")
        );
        assert_eq!(did_you_mean("weight", names), None);
    }
}
