//! The real [`alba::Balancer`] as a policy of the simulator.

use alba::{
    Balancer, Completion, Endpoint, EndpointId, LoadReport, Locality, Observation, Outcome, Pick,
    PickRequest, Probe, Rng, Settings, Time,
};

use super::Setup;
use crate::policy::{Done, Policy, Request, Server};

/// One dispatcher's balancer. Endpoint ids are server numbers.
#[derive(Debug)]
pub(crate) struct Balanced {
    balancer: Balancer,
    settings: Settings,
    /// By attempt.
    picks: Vec<Option<Pick>>,
    /// By server; a balancer asks an endpoint once at a time.
    probes: Vec<Option<Probe>>,
    tried: Vec<EndpointId>,
}

impl Balanced {
    /// A balancer without endpoints yet.
    pub(crate) fn new(mut settings: Settings, setup: &Setup) -> Self {
        settings.origin = setup.locality.clone();
        Self {
            balancer: Balancer::new(settings.clone(), &[], Time::ZERO),
            settings,
            picks: Vec::new(),
            probes: Vec::new(),
            tried: Vec::new(),
        }
    }
}

impl Policy for Balanced {
    fn set_servers(&mut self, now: Time, servers: &[(Server, Locality)], _rng: &mut Rng) {
        let endpoints: Vec<Endpoint> = servers
            .iter()
            .map(|(server, locality)| {
                let mut endpoint = Endpoint::new(endpoint_id(*server));
                endpoint.locality = locality.clone();
                endpoint
            })
            .collect();
        // The first list makes a new balancer: endpoints that come to a running one are eased in.
        self.balancer = if self.balancer.is_empty() {
            Balancer::new(self.settings.clone(), &endpoints, now)
        } else {
            self.balancer.apply(self.settings.clone(), &endpoints, now)
        };
    }

    fn pick(&mut self, now: Time, request: &Request<'_>, rng: &mut Rng) -> Option<Server> {
        self.tried.clear();
        self.tried
            .extend(request.tried.iter().copied().map(endpoint_id));
        let asked = PickRequest {
            tried: &self.tried,
            ..PickRequest::default()
        };
        let pick = self.balancer.pick(now, rng, &asked)?;
        let server = pick.id().0 as Server;
        let attempt = request.attempt as usize;
        if self.picks.len() <= attempt {
            self.picks.resize_with(attempt + 1, || None);
        }
        self.picks[attempt] = Some(pick);
        Some(server)
    }

    fn complete(&mut self, now: Time, done: &Done, _rng: &mut Rng) {
        let Some(pick) = self
            .picks
            .get_mut(done.attempt as usize)
            .and_then(Option::take)
        else {
            return;
        };
        let mut completion = Completion::new(done.outcome, now);
        if matches!(
            done.outcome,
            Outcome::Success | Outcome::ServerError | Outcome::GatewayError
        ) {
            completion = completion.with_first_byte(now);
        }
        if let Some(report) = done.report {
            completion = completion.with_report(report);
        }
        self.balancer.complete(pick, completion);
    }

    fn probes(&mut self, now: Time, _rng: &mut Rng, out: &mut Vec<Server>) {
        if let Some(probe) = self.balancer.probe(now) {
            let server = probe.id().0 as usize;
            if self.probes.len() <= server {
                self.probes.resize_with(server + 1, || None);
            }
            self.probes[server] = Some(probe);
            out.push(server as Server);
        }
    }

    fn probed(&mut self, now: Time, server: Server, report: Option<&LoadReport>) {
        let waiting = self.probes.get_mut(server as usize);
        if let Some(probe) = waiting.and_then(Option::take) {
            self.balancer.probed(probe, report, now);
        }
    }

    fn reported(&mut self, now: Time, server: Server, report: &LoadReport) {
        self.balancer.observe(endpoint_id(server), report, now);
    }

    fn observations(&mut self, now: Time, out: &mut Vec<Observation>) {
        // The other policies learn nothing from others.
        if matches!(self.settings.policy, alba::Policy::Alba(_)) {
            *out = self.balancer.observations(now);
        }
    }

    fn learn(&mut self, now: Time, others: &[Observation]) {
        self.balancer.learn(others, now);
    }

    fn next_tick(&self) -> Option<Time> {
        self.balancer.poll_timeout()
    }

    fn tick(&mut self, now: Time, _rng: &mut Rng) {
        self.balancer.handle_timeout(now);
    }
}

fn endpoint_id(server: Server) -> EndpointId {
    EndpointId(u64::from(server))
}
