//! The plain block style that most manifests are written in, read directly and several times as fast as by the full
//! parser, which loading a large folder otherwise mostly waits for.
//!
//! Whatever is not plainly of that style (flow collections, anchors, tags, scalars of several lines, escapes,
//! characters beyond ASCII, and every mistake) makes [`read`] give up, and the full parser reads the document. So
//! nothing is decided here: where both read a document they give the same tree, places and all, which a property
//! test and a fuzz target hold.

use std::borrow::Cow;

use saphyr_parser::ScalarStyle;

use super::{Entry, MAX_DEPTH, Node, Place, Value, scalar};

/// YAML limits keys to 1,024 characters; no name here is near that.
const MAX_KEY_BYTES: usize = 256;

/// Each key is compared with those before it; documents with more are data, not configuration.
const MAX_ENTRIES: usize = 64;

/// The document's tree, or `None` if the full parser has to read it. `text` is one document, which begins
/// `first_line` lines into its file.
pub(super) fn read(text: &str, first_line: u32) -> Option<Node<'_>> {
    let is_plain = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\n';
    // Without a short cut, so that many bytes are looked at in one instruction.
    if !text
        .as_bytes()
        .iter()
        .fold(true, |all, byte| all & is_plain(byte))
    {
        return None;
    }
    let mut reader = Reader {
        text,
        at: 0,
        line: first_line.checked_add(1)?,
        line_start: 0,
        items: Vec::new(),
        entries: Vec::new(),
    };
    reader.skip_to_content();
    if reader.rest().starts_with("---") {
        reader.at += 3;
        reader.end_line()?;
    }
    if reader.is_done() || reader.column() > 0 {
        return None;
    }
    let root = reader.collection(1)?;
    reader.is_done().then_some(root)
}

struct Reader<'t> {
    text: &'t str,
    /// Between calls, the first character of a line's content; the text's end when there is none left.
    at: usize,
    /// Counted from 1.
    line: u32,
    line_start: usize,
    /// Finished values of sequences that are still open, so that each becomes a `Vec` of its own size at once.
    items: Vec<Node<'t>>,
    /// The same for mappings.
    entries: Vec<Entry<'t>>,
}

impl<'t> Reader<'t> {
    fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// Counted from 0.
    fn column(&self) -> usize {
        self.at - self.line_start
    }

    fn place(&self) -> Option<Place> {
        Some(Place {
            line: self.line,
            column: u32::try_from(self.column()).ok()?.checked_add(1)?,
        })
    }

    fn skip_spaces(&mut self) {
        let spaces = self.rest().bytes().take_while(|byte| *byte == b' ');
        self.at += spaces.count();
    }

    /// Whether a sequence's item begins here.
    fn is_item(&self) -> bool {
        self.byte(0) == Some(b'-') && self.byte(1) == Some(b' ')
    }

    /// Goes on to the next line that has content; `None` if this one has some left.
    fn end_line(&mut self) -> Option<()> {
        let before = self.at;
        self.skip_spaces();
        match self.byte(0) {
            None | Some(b'\n') => {}
            Some(b'#') if self.at > before => {}
            Some(_) => return None,
        }
        self.skip_to_content();
        Some(())
    }

    /// Skips blank lines and comments.
    fn skip_to_content(&mut self) {
        loop {
            self.skip_spaces();
            match self.byte(0) {
                Some(b'\n') => self.at += 1,
                Some(b'#') => {
                    let rest = self.rest();
                    self.at += rest.find('\n').map_or(rest.len(), |end| end + 1);
                }
                _ => return,
            }
            if self.text.as_bytes()[self.at - 1] == b'\n' {
                self.line = self.line.saturating_add(1);
                self.line_start = self.at;
            }
        }
    }

    /// A mapping or a sequence whose first entry is here.
    fn collection(&mut self, depth: usize) -> Option<Node<'t>> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.is_item() {
            self.sequence(depth)
        } else {
            self.mapping(depth)
        }
    }

    fn mapping(&mut self, depth: usize) -> Option<Node<'t>> {
        let (place, column, first) = (self.place()?, self.column(), self.entries.len());
        loop {
            let key_place = self.place()?;
            let key = self.peek_key()?;
            self.at += key.len();
            let value = self.value(column, depth)?;
            let before = &self.entries[first..];
            if before.len() == MAX_ENTRIES || before.iter().any(|entry| entry.key == key) {
                return None;
            }
            self.entries.push(Entry {
                key: Cow::Borrowed(key),
                key_place,
                value,
            });
            if self.is_done() || self.column() < column {
                break;
            }
            if self.column() > column {
                return None;
            }
        }
        let value = Value::Mapping(self.entries.drain(first..).collect());
        Some(Node { place, value })
    }

    fn sequence(&mut self, depth: usize) -> Option<Node<'t>> {
        let (place, column, first) = (self.place()?, self.column(), self.items.len());
        while !self.is_done() && self.column() == column && self.is_item() {
            self.at += 2;
            self.skip_spaces();
            let item = if self.is_item() || self.peek_key().is_some() {
                self.collection(depth + 1)?
            } else {
                self.scalar(column)?
            };
            self.items.push(item);
        }
        // Something at the same column is the next key of the mapping that this is the value in, or a mistake.
        if !self.is_done() && self.column() > column {
            return None;
        }
        let value = Value::Sequence(self.items.drain(first..).collect());
        Some(Node { place, value })
    }

    /// A key if one stands here, without its colon. What can't be a key for sure is none.
    fn peek_key(&self) -> Option<&'t str> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        if !bytes.first()?.is_ascii_alphanumeric() {
            return None;
        }
        for (at, byte) in bytes.iter().enumerate().take(MAX_KEY_BYTES) {
            match byte {
                b':' if matches!(bytes.get(at + 1), None | Some(b' ' | b'\n')) => {
                    let key = &rest[..at];
                    let is_text = matches!(value_of(key), Value::Plain(_));
                    return is_text.then_some(key);
                }
                b'-' | b'_' | b'.' | b'/' => {}
                byte if byte.is_ascii_alphanumeric() => {}
                _ => return None,
            }
        }
        None
    }

    /// The value behind the colon that is here, in a mapping at `column`.
    fn value(&mut self, column: usize, depth: usize) -> Option<Node<'t>> {
        let place = self.place()?;
        self.at += 1;
        self.skip_spaces();
        if !matches!(self.byte(0), None | Some(b'\n' | b'#')) {
            return self.scalar(column);
        }
        self.skip_to_content();
        if !self.is_done() {
            if self.column() > column {
                return self.collection(depth + 1);
            }
            // Items may stand right below the key.
            if self.column() == column && self.is_item() {
                return self.collection(depth + 1);
            }
        }
        let value = Value::Null;
        Some(Node { place, value })
    }

    /// A scalar in a collection at `column`, to the end of its line.
    fn scalar(&mut self, column: usize) -> Option<Node<'t>> {
        let (place, rest) = (self.place()?, self.rest());
        let (value, length) = match *rest.as_bytes().first()? {
            quote @ (b'"' | b'\'') => {
                let inner = &rest[1..];
                // A second quote would be an escaped one, and what is no end of the line is refused below.
                let stops =
                    |byte: u8| byte == quote || byte == b'\n' || (byte == b'\\' && quote == b'"');
                let length = inner.bytes().position(stops)?;
                if inner.as_bytes()[length] != quote {
                    return None;
                }
                (Value::Text(Cow::Borrowed(&inner[..length])), length + 2)
            }
            b'{' if rest.starts_with("{}") => (Value::Mapping(Vec::new()), 2),
            b'[' if rest.starts_with("[]") => (Value::Sequence(Vec::new()), 2),
            first if first.is_ascii_alphanumeric() || b"/._(^$+".contains(&first) => {
                let text = plain_text(rest)?;
                (value_of(text), text.len())
            }
            _ => return None,
        };
        self.at += length;
        self.end_line()?;
        // A line further in would continue the scalar.
        if !self.is_done() && self.column() > column {
            return None;
        }
        Some(Node { place, value })
    }
}

/// The scalar without quotes that a line begins with; `None` if there is a mapping in it.
fn plain_text(rest: &str) -> Option<&str> {
    let bytes = rest.as_bytes();
    let mut end = bytes.len();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b':' if matches!(bytes.get(at + 1), None | Some(b' ' | b'\n')) => return None,
            b'\n' => {
                end = at;
                break;
            }
            b'#' if at > 0 && bytes[at - 1] == b' ' => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    Some(rest[..end].trim_ascii_end())
}

fn value_of(text: &str) -> Value<'_> {
    scalar(Cow::Borrowed(text), ScalarStyle::Plain, None)
}

#[cfg(test)]
mod tests;
