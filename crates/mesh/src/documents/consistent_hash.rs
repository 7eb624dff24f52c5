//! `consistentHash` of a `DestinationRule`, and the parts of it that a `BalancingPolicy` has too.

use crate::affinity::{CookieTemplate, HashKey};
use crate::decode::{
    Context, Decode, Fields, Finding, boolean, decimal, duration, integer, non_empty, string,
};
use crate::yaml::Node;

/// Istio's `minimumRingSize`: with some ten endpoints each has a hundred places, which keeps their shares within
/// about a tenth of each other.
pub(super) const RING_SIZE: u32 = 1024;

/// Envoy's limit; a larger ring takes longer to build than documents take to change.
const MAX_RING_SIZE: i64 = 8 * 1024 * 1024;

/// Istio's `tableSize`: a prime, a hundred times the endpoints that most services have.
pub(super) const TABLE_SIZE: u32 = 65_537;

/// Envoy's limit, a prime too.
const MAX_TABLE_SIZE: u32 = 5_000_011;

const KEYS: [&str; 4] = [
    "httpHeaderName",
    "httpCookie",
    "useSourceIp",
    "httpQueryParameterName",
];

/// `consistentHash`.
pub(super) fn decode<'d>(
    node: &'d Node<'d>,
    context: Context<'d>,
) -> Option<(alba::Policy, Vec<HashKey>)> {
    let mut fields = Fields::of(node, context)?;
    let keys = [
        fields
            .optional("httpHeaderName", header_name)
            .map(HashKey::Header),
        fields.optional("httpCookie", cookie),
        fields
            .optional("useSourceIp", boolean)
            .and_then(|used| used.then_some(HashKey::SourceIp)),
        fields
            .optional("httpQueryParameterName", non_empty)
            .map(HashKey::QueryParameter),
    ];
    only_one_of(&fields, &KEYS);
    let deprecated = fields.optional("minimumRingSize", ring_size());
    let ring = fields.optional("ringHash", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let size = fields.optional("minimumRingSize", ring_size());
        fields.finish();
        Some(size)
    });
    let maglev = fields.optional("maglev", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let size = fields.optional("tableSize", table_size);
        fields.finish();
        Some(size.unwrap_or(TABLE_SIZE))
    });
    only_one_of(&fields, &["ringHash", "maglev"]);
    if !KEYS.iter().any(|key| fields.is_written(key)) {
        let message = "names nothing to hash, so requests go anywhere";
        let finding = Finding::warning(message);
        context.report(
            node.place,
            finding.help(format!("set one of {}", KEYS.join(", "))),
        );
    }
    fields.finish();
    let bound = alba::LoadBound::default();
    let policy = match maglev {
        Some(table_size) => alba::Policy::Maglev { table_size, bound },
        None => alba::Policy::RingHash {
            minimum_ring_size: ring.flatten().or(deprecated).unwrap_or(RING_SIZE),
            bound,
        },
    };
    Some((policy, keys.into_iter().flatten().collect()))
}

fn only_one_of(fields: &Fields<'_>, names: &[&str]) {
    let written: Vec<_> = names
        .iter()
        .filter(|name| fields.is_written(name))
        .collect();
    if let [first, second, ..] = written[..] {
        fields.error_at(second, format!("can't be set beside `{first}`"));
    }
}

/// A header's name, in lower case.
pub(super) fn header_name<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let name = non_empty(node, context)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        let message = format!("must be letters, digits and `-`, but is `{name}`");
        context.error(node.place, message);
        return None;
    }
    Some(name.to_ascii_lowercase())
}

/// `httpCookie`.
pub(super) fn cookie<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<HashKey> {
    let mut fields = Fields::of(node, context)?;
    let name = fields.required("name", token);
    let path = fields
        .optional("path", cookie_text)
        .filter(|path| !path.is_empty());
    let ttl = fields.optional("ttl", duration);
    let attributes = fields.list("attributes", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let name = fields.required("name", token);
        let value = fields.optional("value", cookie_text).unwrap_or_default();
        fields.finish();
        Some((name?, value))
    });
    fields.finish();
    let template = ttl.map(|ttl| CookieTemplate {
        ttl,
        path,
        attributes,
    });
    Some(HashKey::Cookie {
        name: name?,
        template,
    })
}

/// A cookie's name is a token like a header's, but its case counts.
fn token<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    header_name(node, context)?;
    non_empty(node, context)
}

/// What may stand in a cookie's attribute (RFC 6265, 4.1.1).
fn cookie_text<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<String> {
    let text = string(node, context)?;
    if !text
        .bytes()
        .all(|byte| (b' '..=b'~').contains(&byte) && byte != b';')
    {
        context.error(node.place, "must be plain ASCII without `;`");
        return None;
    }
    Some(text.to_owned())
}

/// `minimumRingSize`; Istio's 0 means "not said".
pub(super) fn ring_size<'d>() -> impl Decode<'d, u32> {
    |node: &'d Node<'d>, context: Context<'d>| {
        integer(0..=MAX_RING_SIZE)(node, context).filter(|size: &u32| *size > 0)
    }
}

/// `tableSize`.
pub(super) fn table_size<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<u32> {
    let size: u32 = integer(2..=i64::from(MAX_TABLE_SIZE))(node, context)?;
    let is_taken = |size: &u32| alba::is_maglev_table_size(u64::from(*size));
    if !is_taken(&size) {
        let finding = Finding::error(format!("must be a prime, but is {size}"));
        let next = (size..=MAX_TABLE_SIZE).find(is_taken);
        let help = next.map(|next| format!("the next one is {next}"));
        context.report(node.place, finding.maybe_help(help));
        return None;
    }
    Some(size)
}

/// `boundedLoad`: an endpoint takes at most so many times the mean in-flight count before its requests go on to the
/// next. By default there is no bound, as in Istio: a session that moves costs more than an uneven share.
pub(super) fn load_bound(fields: &mut Fields<'_>) -> alba::LoadBound {
    alba::LoadBound(fields.optional("boundedLoad", decimal(1.01..=100.0)))
}
