//! Our own `BalancingPolicy`: how a service's requests are balanced, for what Istio's `loadBalancer` has no words.
//!
//! Every field stands in `docs/balancing/policy.md` with its default, its range and the reason for it.

mod admission;
mod learned;

use std::time::Duration;

pub(crate) use learned::Learned;

use super::consistent_hash::{self, RING_SIZE, TABLE_SIZE, load_bound};
use super::load_balancer::slow_start;
use super::outlier_detection;
use super::target_refs::{self, Target};
use crate::affinity::{HashKey, UserLocality};
use crate::decode::{
    Context, Fields, Finding, Located, boolean, integer, list_of, located, non_empty, one_of,
    positive_duration,
};
use crate::model::Admission;
use crate::yaml::Node;

/// Balancing and the services it is for. What is `None` was not written: a `DestinationRule`'s word holds then,
/// and without one the default.
#[derive(Debug)]
pub(crate) struct BalancingPolicy {
    pub(crate) targets: Vec<Target>,
    /// The algorithm with its parameters, where one is named.
    pub(crate) algorithm: Option<Located<alba::Policy>>,
    /// Parameters of the learned algorithm, which hold too where nothing names another.
    pub(crate) learned: Learned,
    /// What consistent hashing goes by, in order of preference.
    pub(crate) hash: Option<Located<Vec<HashKey>>>,
    pub(crate) slow_start: Option<Located<alba::SlowStart>>,
    /// Endpoints that one dispatcher uses.
    pub(crate) subset_size: Option<u32>,
    pub(crate) outlier_detection: Option<alba::OutlierDetection>,
    pub(crate) user_locality: Option<UserLocality>,
    pub(crate) admission: Option<Admission>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Algorithm {
    Alba,
    RoundRobin,
    Random,
    LeastRequest,
    PeakEwma,
    RingHash,
    Maglev,
}

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("Alba", Algorithm::Alba),
    ("RoundRobin", Algorithm::RoundRobin),
    ("Random", Algorithm::Random),
    ("LeastRequest", Algorithm::LeastRequest),
    ("PeakEwma", Algorithm::PeakEwma),
    ("RingHash", Algorithm::RingHash),
    ("Maglev", Algorithm::Maglev),
];

/// `kind: BalancingPolicy`.
pub(crate) fn decode(object: &mut Fields<'_>) -> Option<BalancingPolicy> {
    object.required("spec", |node, context| {
        let mut fields = Fields::of(node, context)?;
        let targets = target_refs::decode(&mut fields);
        let algorithm = fields.optional("algorithm", located(one_of(ALGORITHMS)));
        let chosen = algorithm.as_ref().map(|algorithm| algorithm.value);
        let (learned, user_locality) = learned::decode(&mut fields);
        let parameters = Parameters::decode(&mut fields);
        for (name, of) in [
            ("alba", Algorithm::Alba),
            ("locality", Algorithm::Alba),
            ("leastRequest", Algorithm::LeastRequest),
            ("peakEwma", Algorithm::PeakEwma),
            ("ringHash", Algorithm::RingHash),
            ("maglev", Algorithm::Maglev),
        ] {
            // The learned algorithm is also what nothing said means.
            let has_effect = chosen.unwrap_or(Algorithm::Alba) == of;
            if fields.is_written(name) && !has_effect {
                let (algorithm, _) = ALGORITHMS
                    .iter()
                    .find(|(_, algorithm)| *algorithm == of)
                    .expect("every algorithm has a name");
                let message = format!("has no effect without `algorithm: {algorithm}`");
                fields.report_at(name, Finding::warning(message));
            }
        }
        let hash = fields.optional("hash", located(list_of(hash_key)));
        let hashes = matches!(chosen, Some(Algorithm::RingHash | Algorithm::Maglev));
        if hash.is_some() && chosen.is_some() && !hashes {
            let message = "has no effect without `algorithm: RingHash` or `Maglev`";
            fields.report_at("hash", Finding::warning(message));
        }
        let policy = BalancingPolicy {
            targets,
            algorithm: algorithm.map(|algorithm| Located {
                value: parameters.policy(algorithm.value, &learned),
                place: algorithm.place,
            }),
            learned,
            hash,
            slow_start: fields.optional("slowStart", located(slow_start)),
            subset_size: fields.optional("subset", subset),
            outlier_detection: fields
                .optional("outlierDetection", outlier_detection::decode_with_rates),
            user_locality,
            admission: fields.optional("admission", admission::decode),
        };
        fields.finish();
        Some(policy)
    })
}

/// Parameters of the algorithms that learn nothing, or little.
struct Parameters {
    /// Envoy's two: a third brings little and costs the same again (Mitzenmacher 2001).
    choices: u32,
    /// Linkerd's 10 s: some hundred requests at the rates that balancing matters for.
    decay: Duration,
    /// Linkerd's 30 ms: slower than most, so that an endpoint nobody knows is tried, but not flooded.
    default_latency: Duration,
    ring_size: u32,
    ring_bound: alba::LoadBound,
    table_size: u32,
    table_bound: alba::LoadBound,
}

impl Parameters {
    fn decode(fields: &mut Fields<'_>) -> Self {
        let mut parameters = Self {
            choices: 2,
            decay: Duration::from_secs(10),
            default_latency: Duration::from_millis(30),
            ring_size: RING_SIZE,
            ring_bound: alba::LoadBound::default(),
            table_size: TABLE_SIZE,
            table_bound: alba::LoadBound::default(),
        };
        if let Some(mut fields) = object(fields, "leastRequest") {
            let choices = fields.optional("choices", integer(2..=100));
            parameters.choices = choices.unwrap_or(parameters.choices);
            fields.finish();
        }
        if let Some(mut fields) = object(fields, "peakEwma") {
            let decay = fields.optional("decay", positive_duration);
            parameters.decay = decay.unwrap_or(parameters.decay);
            let latency = fields.optional("defaultLatency", positive_duration);
            parameters.default_latency = latency.unwrap_or(parameters.default_latency);
            fields.finish();
        }
        if let Some(mut fields) = object(fields, "ringHash") {
            let size = fields.optional("minimumRingSize", consistent_hash::ring_size());
            parameters.ring_size = size.unwrap_or(parameters.ring_size);
            parameters.ring_bound = load_bound(&mut fields);
            fields.finish();
        }
        if let Some(mut fields) = object(fields, "maglev") {
            let size = fields.optional("tableSize", consistent_hash::table_size);
            parameters.table_size = size.unwrap_or(parameters.table_size);
            parameters.table_bound = load_bound(&mut fields);
            fields.finish();
        }
        parameters
    }

    fn policy(&self, algorithm: Algorithm, learned: &Learned) -> alba::Policy {
        match algorithm {
            Algorithm::Alba => alba::Policy::Alba(learned.parameters.clone()),
            Algorithm::RoundRobin => alba::Policy::RoundRobin,
            Algorithm::Random => alba::Policy::Random,
            Algorithm::LeastRequest => alba::Policy::LeastRequest {
                choices: self.choices,
            },
            Algorithm::PeakEwma => alba::Policy::PeakEwma {
                decay: self.decay,
                default_latency: self.default_latency,
            },
            Algorithm::RingHash => alba::Policy::RingHash {
                minimum_ring_size: self.ring_size,
                bound: self.ring_bound,
            },
            Algorithm::Maglev => alba::Policy::Maglev {
                table_size: self.table_size,
                bound: self.table_bound,
            },
        }
    }
}

/// The object at a field, to be read with defaults where it is not written.
fn object<'d>(fields: &mut Fields<'d>, name: &'static str) -> Option<Fields<'d>> {
    let node = fields.node(name)?;
    Fields::of(node, fields.context)
}

/// An entry of `hash`; the first that a request has decides.
fn hash_key<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<HashKey> {
    let mut fields = Fields::of(node, context)?;
    let header = fields.optional("header", consistent_hash::header_name);
    let cookie = fields.optional("cookie", consistent_hash::cookie);
    let source = fields.optional("sourceIp", boolean);
    let query = fields.optional("queryParameter", non_empty);
    const KEYS: [&str; 4] = ["header", "cookie", "sourceIp", "queryParameter"];
    let written = KEYS.iter().filter(|name| fields.is_written(name)).count();
    if written != 1 {
        let message = format!("must have exactly one of {}", KEYS.join(", "));
        fields.error(message);
    }
    fields.finish();
    let source = source.and_then(|used| used.then_some(HashKey::SourceIp));
    let header = header.map(HashKey::Header);
    let query = query.map(HashKey::QueryParameter);
    header.or(cookie).or(source).or(query)
}

/// `subset`: from 1 endpoint to as many as a list could hold. There is no default: below some hundred endpoints
/// all of them are better.
fn subset<'d>(node: &'d Node<'d>, context: Context<'d>) -> Option<u32> {
    let mut fields = Fields::of(node, context)?;
    let size = fields.required("size", integer(1..=1_000_000));
    fields.finish();
    size
}
