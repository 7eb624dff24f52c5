//! What a worker counts for one generation.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use super::metrics::{Registry, Service, ServiceMetrics};
use super::tally::TallyCounts;

/// Generations whose numbers a worker keeps though they serve no more: what was taken back a moment ago can still be
/// looked at, and one that comes back goes on counting.
const KEPT: usize = 4;

/// One worker's series of one generation.
#[derive(Debug)]
pub(crate) struct GenerationMetrics {
    registry: Arc<Registry>,
    name: Arc<str>,
    tally: Arc<TallyCounts>,
    services: RefCell<HashMap<Arc<Service>, Rc<ServiceMetrics>>>,
}

impl GenerationMetrics {
    fn new(registry: Arc<Registry>, name: Arc<str>) -> Self {
        Self {
            tally: registry.tally(name.clone()),
            registry,
            name,
            services: RefCell::default(),
        }
    }

    /// The series of a service, made at the first call.
    pub(crate) fn service(&self, service: &Arc<Service>) -> Rc<ServiceMetrics> {
        let mut services = self.services.borrow_mut();
        let new = || {
            let (registry, name) = (self.registry.clone(), self.name.clone());
            let metrics = ServiceMetrics::new(registry, service.clone(), name, self.tally.clone());
            Rc::new(metrics)
        };
        services.entry(service.clone()).or_insert_with(new).clone()
    }
}

/// A worker's newest generations.
#[derive(Debug)]
pub(crate) struct Generations {
    registry: Arc<Registry>,
    /// The one that came into force last is last.
    kept: Vec<Rc<GenerationMetrics>>,
}

impl Generations {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            kept: Vec::new(),
        }
    }

    /// The series of a generation that comes into force. Those that have not been for long are given up.
    pub(crate) fn enter(&mut self, name: &Arc<str>) -> Rc<GenerationMetrics> {
        let known = self.kept.iter().position(|known| known.name == *name);
        let metrics = match known {
            Some(position) => self.kept.remove(position),
            None => {
                let (registry, name) = (self.registry.clone(), name.clone());
                Rc::new(GenerationMetrics::new(registry, name))
            }
        };
        self.kept.push(metrics.clone());
        if self.kept.len() > KEPT {
            self.kept.remove(0);
        }
        metrics
    }
}

/// Copies a page of metrics, giving the label of the generation in force to every series that has no generation.
pub(crate) fn label(page: &str, generation: &str, out: &mut String) {
    if generation.is_empty() {
        return out.push_str(page);
    }
    for line in page.split_inclusive('\n') {
        let name = line.find(['{', ' ']).unwrap_or(line.len());
        if line.starts_with('#') || line[name..].starts_with("{generation=") {
            out.push_str(line);
            continue;
        }
        let (name, rest) = line.split_at(name);
        out.push_str(name);
        match rest.strip_prefix('{') {
            Some(labels) => write!(out, "{{generation=\"{generation}\",{labels}"),
            None => write!(out, "{{generation=\"{generation}\"}}{rest}"),
        }
        .expect("a string takes all");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::metrics::RequestOutcome;
    use super::*;
    use crate::exchange::flags::Flags;

    fn count(metrics: &GenerationMetrics) {
        let service = Service {
            host: "a.internal".into(),
            name: "a".into(),
            namespace: "default".into(),
        };
        let outcome = RequestOutcome {
            status: 200,
            flags: Flags::NONE,
            grpc: None,
            is_grpc: false,
        };
        let took = Duration::from_millis(1);
        let service = metrics.service(&Arc::new(service));
        service.count(outcome, took, Some(took));
    }

    #[test]
    fn every_series_has_a_generation() {
        let page = "# HELP a A.\na 1\nb{c=\"d\"} 2\nb{generation=\"x\",c=\"d\"} 3\n";
        let mut labelled = String::new();
        label(page, "y", &mut labelled);
        assert_eq!(
            labelled,
            "# HELP a A.\na{generation=\"y\"} 1\nb{generation=\"y\",c=\"d\"} 2\n\
             b{generation=\"x\",c=\"d\"} 3\n"
        );
    }

    #[test]
    fn a_thousand_generations_leave_as_many_series_as_a_few() {
        let registry = Arc::new(Registry::default());
        let mut generations = Generations::new(registry.clone());
        let held = generations.enter(&"held".into());
        count(&held);
        for number in 0..1000 {
            // Back to the same one each time, as rollbacks do.
            for name in ["good".to_owned(), format!("bad-{number}")] {
                count(&generations.enter(&name.as_str().into()));
                registry.prune();
            }
        }
        let mut text = String::new();
        registry.write(&mut text);
        let series = |generation: &str| {
            let start = format!("istio_requests_total{{generation=\"{generation}\",");
            text.lines()
                .find(|line| line.starts_with(&start))
                .and_then(|line| line.rsplit_once(' '))
                .map(|(_, value)| value.to_owned())
        };
        assert_eq!(series("good").as_deref(), Some("1000"));
        assert_eq!(series("bad-999").as_deref(), Some("1"));
        assert_eq!(series("bad-990"), None);
        // A request may still be on its way.
        assert_eq!(series("held").as_deref(), Some("1"));
        let lines = text.lines();
        let series = lines.filter(|line| line.starts_with("istio_requests_total{"));
        assert_eq!(series.count(), KEPT + 1);
        let tallies = registry.tallies(&["good".into()]);
        assert_eq!(tallies.len(), KEPT + 1);
        assert_eq!(tallies[0].requests, 1000);
    }
}
