//! The tree: values that know their places, and their paths.

use std::borrow::Cow;

/// A position in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// In characters.
    pub column: u32,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<'t> {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value<'t>,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'t> {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar without quotes: may be a number or a boolean.
    Plain(Cow<'t, str>),
    /// A quoted or block scalar: always a string.
    Text(Cow<'t, str>),
    /// A list.
    Sequence(Vec<Node<'t>>),
    /// An object, in the order of the text; no key is there twice.
    Mapping(Vec<Entry<'t>>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'t> {
    /// The key, whatever its type was.
    pub key: Cow<'t, str>,
    /// Where the key begins.
    pub key_place: Place,
    /// What stands behind it.
    pub value: Node<'t>,
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
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Value::Mapping(entries) = &self.value else {
            return None;
        };
        entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// Items of a list; 0 for anything else.
    #[expect(clippy::len_without_is_empty, reason = "a number is not empty")]
    pub fn len(&self) -> usize {
        match &self.value {
            Value::Sequence(items) => items.len(),
            _ => 0,
        }
    }

    /// The text of a scalar, whatever its type.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Text(text) => Some(text),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// Appends the path of the node at `place` below this one (`.http[0].match`); false if there is none.
    pub fn path_to(&self, place: Place, path: &mut String) -> bool {
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
pub fn push_key(path: &mut String, key: &str) {
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
