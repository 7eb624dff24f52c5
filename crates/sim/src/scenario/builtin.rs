//! The scenarios that come with the crate.

use super::{Scenario, ScenarioError, decode};

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

/// Names and texts, in the order in which they are shown.
const ALL: &[(&str, &str)] = scenarios![
    "ramp",
    "mixed-speed",
    "antagonists",
    "hang",
    "sinkhole",
    "service-times",
    "routes",
    "herding",
    "zones",
    "tenants",
    "scale",
    "reports",
    "diurnal",
    "uniform",
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fourteen_decode() {
        assert_eq!(names().count(), 14);
        let all = builtin("all").unwrap();
        assert_eq!(
            all.iter()
                .filter(|scenario| scenario.name.starts_with("ramp/"))
                .count(),
            9
        );
        for name in names() {
            let own = builtin(name).unwrap();
            assert!(own.iter().all(|scenario| !scenario.about.is_empty()));
            assert_eq!(builtin(&own[0].name).unwrap(), own[..1], "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_named() {
        let error = builtin("rampe").unwrap_err().to_string();
        assert!(error.contains("`rampe`"), "{error}");
        assert!(builtin("ramp/9").is_err());
    }
}
