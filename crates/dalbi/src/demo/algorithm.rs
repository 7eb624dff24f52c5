//! Which balancing the demo shows.

use clap::ValueEnum;

/// The algorithms of a `BalancingPolicy` that go without hashing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Algorithm {
    /// DALBI's own: then both sides differ by chance alone
    Alba,
    /// One after the other
    RoundRobin,
    /// The one with fewer requests in flight, of two drawn
    LeastRequest,
    /// Any
    Random,
    /// The one with less expected latency, of two drawn
    PeakEwma,
}

impl Algorithm {
    /// As on the command line and in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alba => "alba",
            Self::RoundRobin => "round_robin",
            Self::LeastRequest => "least_request",
            Self::Random => "random",
            Self::PeakEwma => "peak_ewma",
        }
    }

    /// As in `BalancingPolicy.spec.algorithm`.
    pub(crate) fn document_name(self) -> &'static str {
        match self {
            Self::Alba => "Alba",
            Self::RoundRobin => "RoundRobin",
            Self::LeastRequest => "LeastRequest",
            Self::Random => "Random",
            Self::PeakEwma => "PeakEwma",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for algorithm in Algorithm::value_variants() {
            let value = algorithm.to_possible_value().unwrap();
            assert_eq!(value.get_name(), algorithm.name());
        }
    }
}
