//! `exportTo`: in which namespaces an object is seen.

use super::names::check_label;
use crate::decode::{Context, Fields, Finding, Located, list_of, located, string};
use crate::yaml::Node;

/// Namespaces as written: names, `.` for the object's own, `*` for all, `~` for none. Empty is what the mesh's
/// configuration says, and without it all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ExportTo(Vec<String>);

impl ExportTo {
    /// Whether something of the namespace `own` is seen from `client`.
    pub(crate) fn includes(&self, own: &str, client: &str, default: &Self) -> bool {
        let written = if self.0.is_empty() { default } else { self };
        let sees = |namespace: &String| match namespace.as_str() {
            "*" => true,
            "." => own == client,
            "~" => false,
            name => name == client,
        };
        written.0.is_empty() || written.0.iter().any(sees)
    }

    /// The annotation that Kubernetes' `Service`s have in place of a field: names separated by commas.
    pub(crate) fn of_annotation(text: &str) -> Self {
        let names = text.split(',').map(str::trim);
        let names = names.filter(|name| !name.is_empty());
        Self(names.map(str::to_owned).collect())
    }
}

/// The field, which for some kinds may be `~`.
pub(crate) fn decode(fields: &mut Fields<'_>, may_be_none: bool) -> ExportTo {
    let names = fields.list("exportTo", located(string));
    check(&names, may_be_none, fields.context);
    ExportTo(names.iter().map(|name| name.value.to_owned()).collect())
}

/// The same as a value of its own.
pub(crate) fn list<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<ExportTo> {
    let names = list_of(located(string))(node, context)?;
    check(&names, true, context);
    Some(ExportTo(
        names.iter().map(|name| name.value.to_owned()).collect(),
    ))
}

fn check(names: &[Located<&str>], may_be_none: bool, context: Context<'_>) {
    for (position, name) in names.iter().enumerate() {
        let wrong = match name.value {
            "*" | "." => None,
            "~" if may_be_none => None,
            text => check_label(text).err(),
        };
        if let Some(why) = wrong {
            let finding = Finding::error(format!("must be a namespace, `.` or `*`: {why}"));
            context.report(name.place, finding);
        }
        if names[..position]
            .iter()
            .any(|other| other.value == name.value)
        {
            let message = format!("`{}` is there twice", name.value);
            context.error(name.place, message);
        }
        if matches!(name.value, "*" | "~") && names.len() > 1 {
            let message = format!("`{}` can't stand beside others", name.value);
            context.error(name.place, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sees_what() {
        let of = |text: &str| ExportTo::of_annotation(text);
        let default = of("");
        assert!(default.includes("a", "b", &default) && !default.includes("a", "b", &of(".")));
        assert!(of("*").includes("a", "b", &of(".")));
        assert!(of(".").includes("a", "a", &default) && !of(".").includes("a", "b", &default));
        assert!(of("b, c").includes("a", "c", &default) && !of("b").includes("a", "a", &default));
        assert!(!of("~").includes("a", "a", &default));
    }
}
