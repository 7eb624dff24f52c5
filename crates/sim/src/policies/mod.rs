//! The policies that can be compared, by name.

mod balancer;
mod c3;
mod lsq;
mod members;
mod oracle;
mod p2c_polled;
mod prequal;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
mod wrr;

use alba::{Alba, Locality, Parts, Settings};

use crate::policy::Policy;
use balancer::Balanced;
pub use prequal::PrequalSettings;

/// Which dispatcher a policy is made for.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Its number, from 0.
    pub dispatcher: u32,
    /// How many there are.
    pub dispatchers: u32,
    /// Where it runs.
    pub locality: Locality,
    /// Mean work of a request, in seconds of one unimpeded core; only the oracle may know.
    pub work_s: f64,
}

/// Makes one policy per dispatcher.
pub struct Factory {
    name: String,
    full_information: bool,
    admission: bool,
    make: Box<Make>,
}

type Make = dyn Fn(&Setup) -> Box<dyn Policy> + Send + Sync;

impl std::fmt::Debug for Factory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Factory")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Factory {
    /// A policy that knows what calls tell it.
    pub fn new<P: Policy + 'static>(
        name: &str,
        make: impl Fn(&Setup) -> P + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            full_information: false,
            admission: false,
            make: Box::new(move |setup| Box::new(make(setup))),
        }
    }

    /// The real balancer under any settings; its origin is set for each dispatcher.
    pub fn balancer(name: &str, settings: Settings) -> Self {
        Self::new(name, move |setup| Balanced::new(settings.clone(), setup))
    }

    /// The same policy, but it is shown [`Truth`](crate::policy::Truth).
    #[must_use]
    pub fn with_full_information(mut self) -> Self {
        self.full_information = true;
        self
    }

    /// The same policy, behind admission by tenants wherever there are several.
    #[must_use]
    pub fn with_admission(mut self) -> Self {
        self.admission = true;
        self
    }

    /// Whether requests are admitted by tenant.
    pub fn admission(&self) -> bool {
        self.admission
    }

    /// The policy's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is shown how things are.
    pub fn full_information(&self) -> bool {
        self.full_information
    }

    /// A policy for one dispatcher.
    pub fn policy(&self, setup: &Setup) -> Box<dyn Policy> {
        (self.make)(setup)
    }
}

/// Every policy, in the order in which they are shown. `alba` also comes without some of its parts, as
/// `alba-toll` or `alba-toll-locality`.
pub const NAMES: &[&str] = &[
    "round_robin",
    "random",
    "least_request",
    "p2c",
    "p2c_polled",
    "wrr",
    "peak_ewma",
    "c3",
    "lsq",
    "prequal",
    "alba",
    "oracle",
];

/// The policy of that name; `None` if there is none.
pub fn by_name(name: &str) -> Option<Factory> {
    let alba = |policy| Factory::balancer(name, Settings::new(policy, None));
    Some(match name {
        "round_robin" => alba(alba::Policy::RoundRobin),
        "random" => alba(alba::Policy::Random),
        "p2c" => alba(alba::Policy::LeastRequest { choices: 2 }),
        "peak_ewma" => alba(alba::Policy::PeakEwma {
            decay: std::time::Duration::from_secs(10),
            default_latency: std::time::Duration::from_millis(30),
        }),
        // As many choices as endpoints compare all of them.
        "least_request" => alba(alba::Policy::LeastRequest { choices: u32::MAX }),
        "p2c_polled" => Factory::new(name, |_| p2c_polled::P2cPolled::default()),
        "wrr" => Factory::new(name, |_| wrr::Wrr::default()),
        "c3" => Factory::new(name, |setup| c3::C3::new(setup.dispatchers)),
        "lsq" => Factory::new(name, |_| lsq::Lsq::default()),
        "prequal" => prequal(name, PrequalSettings::default()),
        "oracle" => {
            Factory::new(name, |setup| oracle::Oracle::new(setup.work_s)).with_full_information()
        }
        _ => {
            let without = name.strip_prefix("alba")?;
            let parts = without
                .strip_prefix('-')
                .map_or(Some(Parts::default()), parts)?;
            if !without.is_empty() && !without.starts_with('-') {
                return None;
            }
            return Some(learned(name, parts));
        }
    })
}

/// Prequal with other settings than the registry's.
pub fn prequal(name: &str, settings: PrequalSettings) -> Factory {
    Factory::new(name, move |_| prequal::Prequal::new(settings.clone()))
}

/// The learned policy without some parts.
pub fn learned(name: &str, without: Parts) -> Factory {
    let mut learned = Alba::default();
    learned.without = without;
    Factory::balancer(name, Settings::new(alba::Policy::Alba(learned), None)).with_admission()
}

/// What can be switched off of `alba`.
pub const PARTS: &[&str] = &[
    "ring", "trust", "speed", "silence", "success", "toll", "locality", "probes", "reports",
    "shared",
];

/// Parts by their names, between `-` or `,`; `None` if one has no such name.
pub fn parts(names: &str) -> Option<Parts> {
    let mut parts = Parts::default();
    for name in names.split(['-', ',']) {
        let part = match name {
            "ring" => &mut parts.ring,
            "trust" => &mut parts.trust,
            "speed" => &mut parts.speed,
            "silence" => &mut parts.silence,
            "success" => &mut parts.success,
            "toll" => &mut parts.toll,
            "locality" => &mut parts.locality,
            "probes" => &mut parts.probes,
            "reports" => &mut parts.reports,
            "shared" => &mut parts.shared,
            _ => return None,
        };
        *part = true;
    }
    Some(parts)
}
