//! Text to a tree of nodes that know their places.
//!
//! Files are cut at `---` lines first and each document is parsed on its own, so that a syntax error in one
//! doesn't hide the others' errors. JSON goes the same way, being YAML. Everything a document can blow up is
//! bounded: size, depth, and what aliases may copy.

mod block;
mod tree;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};
use tree::size;
pub use tree::{Entry, Node, Place, Value, push_key};

/// A file above this is not a manifest; etcd takes objects of 1.5 MiB.
const MAX_FILE_BYTES: usize = 64 << 20;
/// Istio's deepest field is at about 12.
const MAX_DEPTH: usize = 64;
/// Nodes that anchors and aliases may copy in one document, against "billion laughs".
const MAX_COPIED_NODES: usize = 100_000;

/// Up to so many keys are compared with each other, which takes less than a set of them.
const FEW_KEYS: usize = 16;

/// Why a document could not be read, or not wholly.
#[derive(Debug, Clone)]
pub struct SyntaxError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
}

/// One document of a file.
#[derive(Debug)]
pub struct Parsed<'t> {
    /// `None` when it can't be read at all.
    pub root: Option<Node<'t>>,
    /// What could not be read.
    pub errors: Vec<SyntaxError>,
}

/// JSON writes characters beyond the first 65,536 as two escapes, which YAML knows as one. Only documents in JSON
/// are changed: elsewhere the same text may be no escape.
pub fn with_yaml_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for (_, chunk) in chunks(text) {
        let content = chunk.trim_start().trim_start_matches("---").trim_start();
        if content.starts_with(['{', '[']) {
            push_with_yaml_escapes(&mut out, chunk);
        } else {
            out.push_str(chunk);
        }
    }
    Cow::Owned(out)
}

fn push_with_yaml_escapes(out: &mut String, mut rest: &str) {
    let unit = |escape: &str| {
        let digits = escape.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let low = rest.get(6..).and_then(unit);
        if let (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) = (unit(rest), low) {
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            out.push_str(&format!("\\U{code:08x}"));
            rest = &rest[12..];
        } else {
            // An escape is a backslash and what is behind it, so that the second of two begins none.
            let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    out.push_str(rest);
}

/// The parts of a file between its `---` lines that are not empty, in order: how many lines come before each, and its
/// text. Together they are the file, but for what stands before the first.
pub fn parts(text: &str) -> Vec<(u32, &str)> {
    chunks(text)
}

/// Every document of a file that is not empty.
pub fn documents(text: &str) -> Vec<Parsed<'_>> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!(
            "file has {} bytes, the limit is {MAX_FILE_BYTES}; split it",
            text.len()
        );
        return vec![Parsed {
            root: None,
            errors: vec![SyntaxError {
                place: Place { line: 1, column: 1 },
                message,
            }],
        }];
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    for (first_line, chunk) in chunks(text) {
        match block::read(chunk, first_line) {
            Some(root) => found.push(Parsed {
                root: Some(root),
                errors: Vec::new(),
            }),
            None => found.extend(parse_fully(chunk, first_line)),
        }
    }
    found
}

/// Cuts at lines that begin with `---`, which can't be anything else in YAML. Comments and directives before one
/// stay with what follows.
fn chunks(text: &str) -> Vec<(u32, &str)> {
    let (mut found, mut start, mut start_line, mut has_content) = (Vec::new(), 0, 0, false);
    let mut offset = 0;
    for (line_number, line) in (0..).zip(text.split_inclusive('\n')) {
        let separator = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.trim_start().len() < rest.len() || rest.is_empty());
        if separator && has_content {
            found.push((start_line, &text[start..offset]));
            (start, start_line, has_content) = (offset, line_number, false);
        }
        if !has_content {
            let content = if separator { &line[3..] } else { line };
            let content = content.trim();
            has_content = !(content.is_empty()
                || content.starts_with('#')
                || (content.starts_with('%') && !separator));
        }
        offset += line.len();
    }
    if has_content {
        found.push((start_line, &text[start..]));
    }
    found
}

/// Every document in a part of a file, by the parser that knows everything YAML has.
fn parse_fully(text: &str, first_line: u32) -> Vec<Parsed<'_>> {
    let mut parser = Parser::new_from_str(text);
    let mut documents = Vec::new();
    let mut builder = Builder::new(first_line);
    loop {
        match next_event(&mut parser) {
            None | Some(Ok((Event::StreamEnd, _))) => return documents,
            Some(Ok((Event::DocumentEnd, _))) => {
                let finished = std::mem::replace(&mut builder, Builder::new(first_line));
                let parsed = finished.finish();
                if !parsed.errors.is_empty()
                    || !matches!(
                        parsed.root,
                        None | Some(Node {
                            value: Value::Null,
                            ..
                        })
                    )
                {
                    documents.push(parsed);
                }
            }
            Some(Ok((event, span))) => {
                if builder.event(event, span).is_err() {
                    builder.root = None;
                    documents.push(builder.finish());
                    return documents;
                }
            }
            Some(Err(error)) => {
                builder.fail(*error.marker(), error.info().to_owned());
                builder.root = None;
                documents.push(builder.finish());
                return documents;
            }
        }
    }
}

type Spanned<'t> = Result<(Event<'t>, Span), saphyr_parser::ScanError>;

fn next_event<'t>(parser: &mut Parser<'t, StrInput<'t>>) -> Option<Spanned<'t>> {
    parser.next_event()
}

/// Builds one document's tree from events.
struct Builder<'t> {
    first_line: u32,
    root: Option<Node<'t>>,
    open: Vec<Open<'t>>,
    anchors: BTreeMap<usize, Node<'t>>,
    copied: usize,
    errors: Vec<SyntaxError>,
}

/// A collection whose end has not come yet.
struct Open<'t> {
    place: Place,
    anchor: usize,
    content: Content<'t>,
}

enum Content<'t> {
    Sequence(Vec<Node<'t>>),
    Mapping {
        entries: Vec<Entry<'t>>,
        key: Option<Key<'t>>,
    },
}

/// A key whose value has not come yet.
struct Key<'t> {
    text: Cow<'t, str>,
    place: Place,
    /// Behind its last character.
    end: Place,
}

/// The document can't be read further; the error is in the builder.
struct Stop;

impl<'t> Builder<'t> {
    fn new(first_line: u32) -> Self {
        Self {
            first_line,
            root: None,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            copied: 0,
            errors: Vec::new(),
        }
    }

    fn finish(self) -> Parsed<'t> {
        Parsed {
            root: self.root,
            errors: self.errors,
        }
    }

    fn place(&self, marker: Marker) -> Place {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Place {
            line: self.first_line.saturating_add(count(marker.line())),
            column: count(marker.col()).saturating_add(1),
        }
    }

    fn fail(&mut self, marker: Marker, message: String) -> Stop {
        let place = self.place(marker);
        self.errors.push(SyntaxError { place, message });
        Stop
    }

    fn event(&mut self, event: Event<'t>, span: Span) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = Node {
                    place: self.place(span.start),
                    value: scalar(text, style, tag.as_deref()),
                };
                self.anchor(anchor, &node, span)?;
                self.add(node, span)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(self.fail(
                        span.start,
                        "alias to an anchor that is not complete yet".to_owned(),
                    ));
                };
                let copy = node.clone();
                self.count_copied(&copy, span)?;
                self.add(copy, span)
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(anchor, Content::Sequence(Vec::new()), span)
            }
            Event::MappingStart(anchor, _) => self.begin(
                anchor,
                Content::Mapping {
                    entries: Vec::new(),
                    key: None,
                },
                span,
            ),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut open) = self.open.pop() else {
                    return Ok(());
                };
                if let Some(place) = self.below_its_key(&open) {
                    open.place = place;
                }
                let value = match open.content {
                    Content::Sequence(items) => Value::Sequence(items),
                    Content::Mapping { entries, .. } => {
                        self.ipv6_in_flow(&entries).unwrap_or_else(|| {
                            let entries = self.mapping(entries);
                            Value::Mapping(entries)
                        })
                    }
                };
                let node = Node {
                    place: open.place,
                    value,
                };
                self.anchor(open.anchor, &node, span)?;
                self.add(node, span)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, content: Content<'t>, span: Span) -> Result<(), Stop> {
        if self.open.len() == MAX_DEPTH {
            return Err(self.fail(span.start, format!("nested more than {MAX_DEPTH} deep")));
        }
        let place = self.place(span.start);
        self.open.push(Open {
            place,
            anchor,
            content,
        });
        Ok(())
    }

    fn add(&mut self, mut node: Node<'t>, span: Span) -> Result<(), Stop> {
        let end = self.place(span.end);
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open {
                content: Content::Sequence(items),
                ..
            }) => items.push(node),
            Some(Open {
                content: Content::Mapping { entries, key },
                ..
            }) => match key.take() {
                Some(key) => {
                    // The parser puts what is not there somewhere behind the key.
                    if node.value == Value::Null && span.is_empty() {
                        node.place = key.end;
                    }
                    entries.push(Entry {
                        key: key.text,
                        key_place: key.place,
                        value: node,
                    });
                }
                None => {
                    let text = match node.value {
                        Value::Plain(text) | Value::Text(text) => text,
                        Value::Null => Cow::Borrowed("null"),
                        Value::Sequence(_) | Value::Mapping(_) => {
                            let message = "a list or an object can't be a key".to_owned();
                            return Err(self.fail(span.start, message));
                        }
                    };
                    *key = Some(Key {
                        text,
                        place: node.place,
                        end,
                    });
                }
            },
        }
        Ok(())
    }

    fn anchor(&mut self, anchor: usize, node: &Node<'t>, span: Span) -> Result<(), Stop> {
        if anchor > 0 {
            self.count_copied(node, span)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    fn count_copied(&mut self, node: &Node<'_>, span: Span) -> Result<(), Stop> {
        self.copied += size(node);
        if self.copied > MAX_COPIED_NODES {
            return Err(self.fail(
                span.start,
                format!("aliases copy more than {MAX_COPIED_NODES} values"),
            ));
        }
        Ok(())
    }

    /// Where a sequence begins whose items stand right below its key. The parser says it where its first item is,
    /// which would give both the same path.
    fn below_its_key(&self, open: &Open<'t>) -> Option<Place> {
        let Content::Sequence(items) = &open.content else {
            return None;
        };
        let Content::Mapping { key: Some(key), .. } = &self.open.last()?.content else {
            return None;
        };
        (items.first()?.place == open.place).then_some(Place {
            column: key.place.column,
            ..open.place
        })
    }

    /// `[2001:db8::]` is to YAML 1.2 a list with an object whose key is `2001:db8:`. Kubernetes' parser reads the
    /// address that is meant, and so must we.
    fn ipv6_in_flow(&self, entries: &[Entry<'t>]) -> Option<Value<'t>> {
        let in_list = matches!(
            self.open.last(),
            Some(Open {
                content: Content::Sequence(_),
                ..
            })
        );
        match entries {
            [
                Entry {
                    key,
                    value:
                        Node {
                            value: Value::Null, ..
                        },
                    ..
                },
            ] if in_list && key.ends_with(':') => Some(Value::Plain(Cow::Owned(format!("{key}:")))),
            _ => None,
        }
    }

    /// Takes in merge keys (`<<`) and refuses keys that are there twice.
    fn mapping(&mut self, entries: Vec<Entry<'t>>) -> Vec<Entry<'t>> {
        let mut twice = Vec::new();
        let mut refuse = |entry: &Entry<'_>| {
            twice.push(SyntaxError {
                place: entry.key_place,
                message: format!("key `{}` is there twice in the same object", entry.key),
            });
        };
        if entries.len() <= FEW_KEYS {
            for (position, entry) in entries.iter().enumerate() {
                let before = &entries[..position];
                if before.iter().any(|earlier| earlier.key == entry.key) {
                    refuse(entry);
                }
            }
        } else {
            let mut seen = BTreeSet::new();
            for entry in &entries {
                if !seen.insert(&*entry.key) {
                    refuse(entry);
                }
            }
        }
        self.errors.append(&mut twice);
        if !entries.iter().any(|entry| entry.key == "<<") {
            return entries;
        }
        let (merges, mut own): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.key == "<<");
        for merge in merges {
            let sources = match merge.value.value {
                Value::Sequence(items) => items,
                _ => vec![merge.value],
            };
            for source in sources {
                let Value::Mapping(inherited) = source.value else {
                    continue;
                };
                for entry in inherited {
                    if !own.iter().any(|mine| mine.key == entry.key) {
                        own.push(entry);
                    }
                }
            }
        }
        own
    }
}

fn scalar<'t>(text: Cow<'t, str>, style: ScalarStyle, tag: Option<&Tag>) -> Value<'t> {
    let forced_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    match style {
        ScalarStyle::Plain if !forced_text => match &*text {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            _ => Value::Plain(text),
        },
        _ => Value::Text(text),
    }
}

#[cfg(test)]
mod tests;
