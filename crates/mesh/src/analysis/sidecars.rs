//! Sidecars of which only one can hold: IST0110 and IST0111.

use std::collections::BTreeMap;

use super::Input;
use crate::decode::Finding;

/// Several of a namespace for the same labels, or for all of it.
pub(super) fn several(input: Input<'_>) {
    let mut first = BTreeMap::new();
    for object in &input.documents.sidecars {
        let key = (&object.meta.namespace, &object.spec.selector);
        let holder: &mut &_ = first.entry(key).or_insert(object);
        if std::ptr::eq(*holder, object) {
            continue;
        }
        let (code, whom) = match &object.spec.selector {
            Some(_) => ("IST0110", "the same labels"),
            None => ("IST0111", "the whole namespace"),
        };
        let message = format!(
            "{} is for {whom} too and comes first, so it holds",
            holder.meta.label
        );
        let finding = Finding::warning(message).code(code);
        let context = object.context(input.files, input.report);
        context.report(object.meta.place, finding.help("merge the two"));
    }
}
