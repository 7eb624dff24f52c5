//! The generations that are tried, and how.

use clap::ValueEnum;

use crate::peers::dalbi::{APPLICATION, SEPARATOR, service_entry};

/// What is wrong with a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Case {
    /// 2 % of requests are answered with 500.
    #[value(name = "errors-2pct")]
    Errors,
    /// 5 % of requests take 100 ms longer.
    #[value(name = "slow-5pct")]
    Slow,
    /// 10 % of requests go to an endpoint where nobody listens.
    #[value(name = "dead-endpoint-10pct")]
    DeadEndpoint,
    /// Nothing: only a header of answers differs.
    #[value(name = "aa")]
    Harmless,
}

/// How a generation is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Mode {
    /// On a tenth of the requests, beside the one before.
    Canary,
    /// On all requests, compared with the time before.
    Whole,
}

/// The canary's share of requests.
pub(crate) const CANARY: f64 = 0.1;

/// The service whose only endpoint nobody listens on.
const DEAD: &str = "dead";

impl Case {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 4] =
        [Self::Errors, Self::Slow, Self::DeadEndpoint, Self::Harmless];

    /// As the issue that asked for it names it: with a canary.
    pub(crate) fn name(self, mode: Mode) -> String {
        let value = self.to_possible_value().expect("no case is hidden");
        match mode {
            Mode::Canary => value.get_name().to_owned(),
            Mode::Whole => format!("{}-whole", value.get_name()),
        }
    }

    /// Whether it should be taken back.
    pub(crate) fn is_bad(self) -> bool {
        self != Self::Harmless
    }

    /// The rule's fault, with a line's end.
    fn fault(self) -> &'static str {
        match self {
            Self::Errors => {
                "    fault:\n      abort: {httpStatus: 500, percentage: {value: 2.0}}\n"
            }
            Self::Slow => {
                "    fault:\n      delay: {fixedDelay: 100ms, percentage: {value: 5.0}}\n"
            }
            Self::DeadEndpoint | Self::Harmless => "",
        }
    }

    /// The share of requests that go where nobody listens, in percent.
    fn dead_percent(self) -> u32 {
        match self {
            Self::DeadEndpoint => 10,
            _ => 0,
        }
    }
}

impl Mode {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 2] = [Self::Canary, Self::Whole];

    /// What the API takes.
    pub(crate) fn canary(self) -> Option<f64> {
        (self == Self::Canary).then_some(CANARY)
    }
}

/// What all generations of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    /// Where the documents' gateway listens, before `--port-offset`.
    pub(crate) http: u16,
    /// The application's servers.
    pub(crate) upstreams: Vec<u16>,
    /// A port that is kept free.
    pub(crate) nobody: u16,
}

impl Scene {
    /// What stays as it is.
    pub(crate) fn base(&self) -> String {
        let at = |port: &u16| ("127.0.0.1".to_owned(), *port);
        let application: Vec<_> = self.upstreams.iter().map(at).collect();
        let gateway = format!(
            "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: public
  namespace: bench
spec:
  selector:
    istio: ingressgateway
  servers:
  - port: {{number: {}, name: http, protocol: HTTP}}
    hosts: [\"*\"]
",
            self.http
        );
        [
            gateway,
            service_entry(APPLICATION, &application),
            service_entry(DEAD, &[at(&self.nobody)]),
        ]
        .join(SEPARATOR)
    }

    /// What changes. Every answer carries `mark`, which also makes each generation one that was never seen before.
    pub(crate) fn routes(case: Case, mark: u32) -> String {
        let (fault, dead) = (case.fault(), case.dead_percent());
        let alive = 100 - dead;
        let dead = match dead {
            0 => String::new(),
            dead => format!(
                "    - destination: {{host: {DEAD}.bench.internal, port: {{number: 80}}}}\n      weight: {dead}\n"
            ),
        };
        format!(
            "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: routes
  namespace: bench
spec:
  hosts: [\"*\"]
  gateways: [public]
  http:
  - headers:
      response:
        set: {{x-mark: \"{mark}\"}}
{fault}    route:
    - destination: {{host: {APPLICATION}.bench.internal, port: {{number: 80}}}}
      weight: {alive}
{dead}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_have_the_names_that_were_asked_for() {
        let names = Case::ALL.map(|case| case.name(Mode::Canary));
        assert_eq!(
            names,
            ["errors-2pct", "slow-5pct", "dead-endpoint-10pct", "aa"]
        );
        assert_eq!(Case::Harmless.name(Mode::Whole), "aa-whole");
    }

    #[test]
    fn weights_add_up_and_only_bad_generations_have_faults() {
        let dead = Scene::routes(Case::DeadEndpoint, 7);
        assert!(
            dead.contains("weight: 90\n") && dead.ends_with("weight: 10\n"),
            "{dead}"
        );
        let harmless = Scene::routes(Case::Harmless, 7);
        assert!(
            harmless.contains("x-mark: \"7\"") && harmless.ends_with("weight: 100\n"),
            "{harmless}"
        );
        assert!(!harmless.contains("fault"), "{harmless}");
        assert!(Scene::routes(Case::Errors, 7).contains("value: 2.0"));
    }
}
