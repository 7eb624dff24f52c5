//! YAML documents as JSON values: what is needed to read manifests and cases, without places or aliases.

use anyhow::{Context, Result, bail};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Number, Value};

/// A document with the text it was read from.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// The text, without the `---` lines.
    pub(crate) text: String,
    /// What it says.
    pub(crate) value: Value,
}

/// Every document of a file that says something.
pub(crate) fn documents(text: &str) -> Result<Vec<Document>> {
    let mut found = Vec::new();
    for text in cut(text) {
        let value = value(&text)?;
        if !value.is_null() {
            found.push(Document { text, value });
        }
    }
    Ok(found)
}

/// The texts between `---` lines.
fn cut(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

/// The only document of a text.
pub(crate) fn value(text: &str) -> Result<Value> {
    let mut parser = Parser::new_from_str(text);
    loop {
        match next(&mut parser)? {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd => return Ok(Value::Null),
            event => return node(event, &mut parser),
        }
    }
}

fn next<'t>(parser: &mut Parser<'t, StrInput<'t>>) -> Result<Event<'t>> {
    let (event, _) = parser
        .next()
        .context("the text ends within a document")?
        .context("not YAML")?;
    Ok(event)
}

fn node<'t>(event: Event<'t>, parser: &mut Parser<'t, StrInput<'t>>) -> Result<Value> {
    match event {
        Event::Scalar(text, style, ..) => Ok(scalar(&text, style)),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match next(parser)? {
                    Event::SequenceEnd => return Ok(Value::Array(items)),
                    event => items.push(node(event, parser)?),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut fields = Map::new();
            loop {
                let key = match next(parser)? {
                    Event::MappingEnd => return Ok(Value::Object(fields)),
                    Event::Scalar(key, ..) => key.into_owned(),
                    other => bail!("a key that is no scalar: {other:?}"),
                };
                let event = next(parser)?;
                let value = node(event, parser)?;
                fields.insert(key, value);
            }
        }
        other => bail!("{other:?} is not read here"),
    }
}

/// YAML 1.2's core schema, as far as manifests use it.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" => return Value::Null,
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Value::Number(integer.into());
    }
    let digits = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    if digits && let Ok(float) = text.parse::<f64>() {
        return Number::from_f64(float).map_or(Value::Null, Value::Number);
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_cut_and_empty_ones_left_out() {
        let found =
            documents("# only a comment\n---\na: 1\n---\nb: [x, 'true', true, ~, 0.5]\n---\n");
        let values: Vec<Value> = found.unwrap().into_iter().map(|one| one.value).collect();
        assert_eq!(
            values,
            [
                json!({"a": 1}),
                json!({"b": ["x", "true", true, null, 0.5]})
            ]
        );
    }

    #[test]
    fn a_block_scalar_is_text() {
        assert_eq!(value("a: |\n  12\n").unwrap(), json!({"a": "12\n"}));
    }

    #[test]
    fn an_error_is_one() {
        assert!(value("a: [").is_err());
    }
}
