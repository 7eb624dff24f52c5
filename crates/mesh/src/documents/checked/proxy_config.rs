//! `ProxyConfig`.

use super::selector::selector;
use crate::decode::{Fields, integer, map_of, owned};

/// Finds what Istio would refuse.
pub(super) fn check(object: &mut Fields<'_>) -> Option<()> {
    object.optional("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        fields.optional("selector", selector);
        fields.optional("concurrency", integer::<u32>(0..=i64::from(i32::MAX)));
        fields.optional("environmentVariables", map_of(owned));
        fields.optional("image", |node, context| {
            let mut fields = Fields::of(node, context)?;
            fields.optional("imageType", owned);
            fields.finish();
            Some(())
        });
        fields.finish();
        Some(())
    })
}
