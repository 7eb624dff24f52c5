//! From TOML to scenarios: strict, with variants laid over the base.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::{Spanned, Table, Value};

use super::Scenario;
use super::ranges::check;

/// Why a file is not a scenario.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// It cannot be decoded.
    #[error("{name}.toml: {message}")]
    Syntax {
        /// The file's name without its ending.
        name: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A variant cannot be decoded.
    #[error("{name}.toml line {line}: variant `{variant}`: {message}")]
    Variant {
        /// The file's name without its ending.
        name: String,
        /// Where the variant begins.
        line: usize,
        /// Its name.
        variant: String,
        /// What is wrong.
        message: String,
    },
    /// A value cannot be used.
    #[error("{scenario}: `{field}` is {value}, but must be {limit}")]
    Range {
        /// The scenario, with its variant.
        scenario: String,
        /// Where.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        limit: &'static str,
    },
    /// There is none of that name.
    #[error("there is no scenario `{name}`; `dalbi sim --list` shows all")]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

/// The base as it is written: a scenario and its variants.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    variant: Vec<Spanned<Table>>,
}

/// The scenarios of the file `name`.toml: one, or one for each `[[variant]]`. A variant has a `name` and
/// whatever it says otherwise than the base; its tables are laid over the base's, its lists replace them.
///
/// # Errors
///
/// On anything that is not understood, also unknown fields, and on values out of range.
pub fn decode(name: &str, text: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let syntax = |error: &toml::de::Error| ScenarioError::Syntax {
        name: name.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    };
    let document: Document = toml::from_str(text).map_err(|error| syntax(&error))?;
    // Decoded from the text, so that errors have lines; the variants are blanked out for it.
    let variants_from = document.variant.first().map_or(text.len(), |variant| {
        // A span begins after or at its header; the header's line begins what is not the base.
        let before = &text[..variant.span().start];
        before.rfind("[[variant]]").unwrap_or(before.len())
    });
    let base_text = &text[..variants_from];
    let mut base: Scenario = toml::from_str(base_text).map_err(|error| syntax(&error))?;
    base.name = name.to_owned();
    check(&base)?;
    if document.variant.is_empty() {
        return Ok(vec![base]);
    }
    let base_table: Table = toml::from_str(base_text).map_err(|error| syntax(&error))?;
    document
        .variant
        .into_iter()
        .map(|variant| {
            let line = text[..variant.span().start].matches('\n').count() + 1;
            laid_over(name, &base_table, variant.into_inner(), line)
        })
        .collect()
}

fn laid_over(
    name: &str,
    base: &Table,
    mut variant: Table,
    line: usize,
) -> Result<Scenario, ScenarioError> {
    let fail = |variant: &str, message: String| ScenarioError::Variant {
        name: name.to_owned(),
        line,
        variant: variant.to_owned(),
        message,
    };
    let Some(Value::String(variant_name)) = variant.remove("name") else {
        return Err(fail("?", "needs a `name`, a string".to_owned()));
    };
    let mut table = base.clone();
    lay_over(&mut table, variant);
    let mut scenario = Scenario::deserialize(Value::Table(table).into_deserializer())
        .map_err(|error: toml::de::Error| fail(&variant_name, error.message().to_owned()))?;
    scenario.name = format!("{name}/{variant_name}");
    check(&scenario)?;
    Ok(scenario)
}

fn lay_over(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => lay_over(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
