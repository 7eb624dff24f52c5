//! The scenarios that come with the crate.

use super::{Scenario, ScenarioError, decode};

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

/// Names and texts, in the order in which they are shown.
const ALL: &[(&str, &str)] = scenarios!["ramp", "mixed-speed", "uniform"];

/// The names of all files, in the order in which they are shown.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|&(name, _)| name)
}

/// The scenarios of a built-in file; `all` gives those of all files, `file/variant` one.
///
/// # Errors
///
/// If there is none of that name.
pub fn builtin(name: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let file = name.split_once('/').map_or(name, |(file, _)| file);
    let mut found = Vec::new();
    for (known, text) in ALL {
        if name == "all" || file == *known {
            found.extend(decode(known, text)?);
        }
    }
    if name.contains('/') {
        found.retain(|scenario| scenario.name == name);
    }
    if found.is_empty() {
        return Err(ScenarioError::Unknown {
            name: name.to_owned(),
        });
    }
    Ok(found)
}
