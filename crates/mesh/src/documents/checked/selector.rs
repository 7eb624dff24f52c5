//! What a policy is for: `selector`, `targetRef` and `targetRefs`.

use crate::decode::{Context, Fields, list_of, map_of, string};
use crate::yaml::Node;

/// Istio's limit on `targetRefs`.
const MAX_TARGETS: usize = 16;

/// `selector` beside `targetRef` and `targetRefs`: only one of the three.
pub(super) fn selector_or_targets(fields: &mut Fields<'_>) {
    fields.optional("selector", selector);
    fields.optional("targetRef", target);
    let targets = fields.list("targetRefs", target);
    if targets.len() > MAX_TARGETS {
        let message = format!("has {} entries, the limit is {MAX_TARGETS}", targets.len());
        fields.error_at("targetRefs", message);
    }
    let written = ["selector", "targetRef", "targetRefs"].map(|name| fields.is_written(name));
    if written.iter().filter(|is_written| **is_written).count() > 1 {
        fields.error("only one of `targetRefs`, `targetRef` and `selector` can be set");
    }
}

/// `selector.matchLabels`. Returns whether it names any label.
pub(super) fn selector<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<bool> {
    let mut fields = Fields::of(node, context)?;
    let labels = fields.optional("matchLabels", labels).unwrap_or_default();
    fields.finish();
    Some(labels > 0)
}

/// Label names and values as they must stand to be compared. Returns how many there are.
pub(super) fn labels<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<usize> {
    let labels = map_of(|node, context| Some((node, string(node, context)?)))(node, context)?;
    for (name, (place, value)) in &labels {
        let wrong = if name.is_empty() {
            Some("a label's name must not be empty".to_owned())
        } else if name.contains('*') {
            Some(format!("`{name}`: a label's name can't have a wildcard"))
        } else if value.contains('*') {
            Some(format!("`{value}`: a label's value can't have a wildcard"))
        } else if name.len() > 63 + 254 {
            Some(format!("a label's name has {} characters", name.len()))
        } else if value.len() > 63 {
            let length = value.len();
            Some(format!("has {length} characters, the limit is 63"))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            context.error(place.place, wrong);
        }
    }
    Some(labels.len())
}

fn target<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<()> {
    let mut fields = Fields::of(node, context)?;
    let group = fields.optional("group", string).unwrap_or_default();
    let is_dns = |name: &str| {
        let inner =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        name.bytes().all(inner) && !name.starts_with(['-', '.']) && !name.ends_with(['-', '.'])
    };
    if !is_dns(group) {
        fields.error_at(
            "group",
            format!("`{group}` is not the name of an API group"),
        );
    }
    if let Some(kind) = fields.required("kind", string) {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let begins = kind.starts_with(|first: char| first.is_ascii_alphabetic());
        if !begins || !kind.bytes().all(inner) || kind.ends_with('-') {
            fields.error_at("kind", format!("`{kind}` is not the name of a kind"));
        }
    }
    if fields.required("name", string) == Some("") {
        fields.error_at("name", "must not be empty");
    }
    let namespace = fields.optional("namespace", string);
    if namespace.is_some_and(|namespace| !namespace.is_empty()) {
        let message = "can't be set: a policy is for objects of its own namespace";
        fields.error_at("namespace", message);
    }
    fields.finish();
    Some(())
}

/// Strings none of which is empty.
pub(super) fn non_empty_list<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Vec<String>> {
    list_of(crate::decode::non_empty)(node, context)
}
