//! The tree: values that know their places, and their paths.

use std::borrow::Cow;

/// A position in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node<'t> {
    pub(crate) place: Place,
    pub(crate) value: Value<'t>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'t> {
    Null,
    /// A scalar without quotes: may be a number or a boolean.
    Plain(Cow<'t, str>),
    /// A quoted or block scalar: always a string.
    Text(Cow<'t, str>),
    Sequence(Vec<Node<'t>>),
    Mapping(Vec<Entry<'t>>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'t> {
    pub(crate) key: Cow<'t, str>,
    pub(crate) key_place: Place,
    pub(crate) value: Node<'t>,
}

/// How many values there are in a node, itself counted.
pub(super) fn size(node: &Node<'_>) -> usize {
    1 + match &node.value {
        Value::Null | Value::Plain(_) | Value::Text(_) => 0,
        Value::Sequence(items) => items.iter().map(size).sum(),
        Value::Mapping(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
    }
}

impl<'t> Node<'t> {
    /// The value of a key, if this is an object that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Mapping(entries) = &self.value else {
            return None;
        };
        entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// Items of a list; 0 for anything else.
    pub(crate) fn len(&self) -> usize {
        match &self.value {
            Value::Sequence(items) => items.len(),
            _ => 0,
        }
    }

    /// The text of a scalar, whatever its type.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Text(text) => Some(text),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// Appends the path of the node at `place` below this one (`.http[0].match`); false if there is none.
    pub(crate) fn path_to(&self, place: Place, path: &mut String) -> bool {
        if self.place == place {
            return true;
        }
        let length = path.len();
        match &self.value {
            Value::Null | Value::Plain(_) | Value::Text(_) => false,
            Value::Sequence(items) => {
                // Children stand in the order of the text, except where an alias or a merge put them.
                let likely = items
                    .partition_point(|item| item.place <= place)
                    .saturating_sub(1);
                let order = std::iter::once(likely)
                    .chain((0..items.len()).filter(|position| *position != likely));
                for position in order {
                    let Some(item) = items.get(position) else {
                        continue;
                    };
                    path.push_str(&format!("[{position}]"));
                    if item.path_to(place, path) {
                        return true;
                    }
                    path.truncate(length);
                }
                false
            }
            Value::Mapping(entries) => {
                let likely = entries
                    .partition_point(|entry| entry.key_place <= place)
                    .saturating_sub(1);
                let order = std::iter::once(likely)
                    .chain((0..entries.len()).filter(|position| *position != likely));
                for position in order {
                    let Some(entry) = entries.get(position) else {
                        continue;
                    };
                    push_key(path, &entry.key);
                    if entry.value.path_to(place, path) {
                        return true;
                    }
                    path.truncate(length);
                }
                false
            }
        }
    }
}

/// Appends `.key`, or `["odd.key"]`.
pub(crate) fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !plain {
        path.push_str(&format!("[{key:?}]"));
    } else if path.is_empty() {
        path.push_str(key);
    } else {
        path.push('.');
        path.push_str(key);
    }
}
