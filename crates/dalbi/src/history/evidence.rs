//! What probations saw, out of the log.

use std::collections::HashMap;

use generations::{Event, GenerationId, Record};
use probation::Evidence;
use serde::Deserialize;
use serde_json::Value;

/// The evidence that each generation's last probation ended with.
#[derive(Debug, Default)]
pub(crate) struct Evidences(HashMap<GenerationId, Evidence>);

impl Evidences {
    /// From all records of the log.
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut evidences = HashMap::new();
        for record in records {
            if let Event::Confirmed { id, detail } | Event::Ended { id, detail, .. } = &record.event
                && let Some(evidence) = parse(detail)
            {
                evidences.insert(*id, evidence);
            }
        }
        Self(evidences)
    }

    /// Of one generation; nothing if it was never watched.
    pub(crate) fn get(&self, id: GenerationId) -> Option<&Evidence> {
        self.0.get(&id)
    }
}

/// Whoever confirms without a probation writes no evidence, and a newer version may write another.
fn parse(detail: &Value) -> Option<Evidence> {
    Evidence::deserialize(detail).ok()
}

/// What the figures so far say, in a few words; nothing if they can't be read.
pub(crate) fn judgement(evidence: &Value) -> &'static str {
    match parse(evidence) {
        None => "",
        Some(evidence) if evidence.new.requests == 0 => "no requests yet",
        Some(evidence) if evidence.e_value >= evidence.e_value_needed => "harm",
        Some(evidence) if evidence.excess_high <= evidence.tolerance => "no harm so far",
        Some(_) => "too little to tell yet",
    }
}

#[cfg(test)]
mod tests {
    use probation::{Counts, Design, Gate, Probation, Tick};
    use serde_json::json;

    use super::*;

    fn evidence(failures: u64, ticks: usize) -> Value {
        let counts = |failures| Counts {
            requests: 100,
            failures,
            ..Counts::default()
        };
        let design = Design::Before {
            baseline: vec![counts(0); 300],
            busy: 0.3,
        };
        let mut probation = Probation::new(Gate::default(), design).unwrap();
        for _ in 0..ticks {
            probation.observe(&Tick {
                new: counts(failures),
                busy: 0.3,
                ..Tick::default()
            });
        }
        json!(probation.evidence())
    }

    #[test]
    fn figures_are_put_into_words() {
        assert_eq!(judgement(&evidence(0, 0)), "no requests yet");
        assert_eq!(judgement(&evidence(0, 1)), "too little to tell yet");
        assert_eq!(judgement(&evidence(0, 300)), "no harm so far");
        assert_eq!(judgement(&evidence(20, 50)), "harm");
        assert_eq!(judgement(&json!({ "of": "a newer version" })), "");
    }
}
