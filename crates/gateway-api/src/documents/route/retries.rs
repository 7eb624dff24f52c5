//! `timeouts` and `retry`.

use std::time::Duration;

use manifests::decode::{Context, Fields, duration, integer, kind_of};
use manifests::yaml::Node;

use crate::attached::{Retry, Timeouts};

/// GEP-2257: up to four whole numbers of h, m, s or ms.
fn gateway_duration<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Duration> {
    let written = node.text().unwrap_or_default();
    let mut parts = 0;
    let mut rest = written;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = ["ms", "h", "m", "s"]
            .into_iter()
            .find(|unit| rest[digits..].starts_with(unit));
        let Some(unit) = unit.filter(|_| (1..=5).contains(&digits)) else {
            parts = 0;
            break;
        };
        parts += 1;
        rest = &rest[digits + unit.len()..];
    }
    if !(1..=4).contains(&parts) {
        let message = format!(
            "must be up to four whole numbers with h, m, s or ms, such as 1m30s, but is {}",
            kind_of(node)
        );
        context.error(node.place, message);
        return None;
    }
    duration(node, context)
}

pub(super) fn timeouts<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Timeouts> {
    let mut fields = Fields::of(node, context)?;
    let request = fields.optional("request", gateway_duration);
    let backend_request = fields.optional("backendRequest", gateway_duration);
    if let (Some(request), Some(backend)) = (request, backend_request)
        && !request.is_zero()
        && backend > request
    {
        let message =
            format!("{backend:?} must not be longer than `request`, which is {request:?}");
        fields.error_at("backendRequest", message);
    }
    fields.finish();
    let limit = |timeout: Option<Duration>| timeout.filter(|timeout| !timeout.is_zero());
    Some(Timeouts {
        request: limit(request),
        backend_request: limit(backend_request),
        unlimited: request.is_some_and(|request| request.is_zero()),
    })
}

pub(super) fn retry<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<Retry> {
    let mut fields = Fields::of(node, context)?;
    let codes = fields.list("codes", integer(400..=599));
    let attempts = fields.optional("attempts", integer(0..=1000));
    let backoff = fields.optional("backoff", gateway_duration);
    fields.finish();
    Some(Retry {
        codes,
        attempts,
        backoff,
    })
}
