//! Istio's samples route as its documentation says. What it says is written down here, task by task; the data has no
//! expectations of its own.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::check::{Check, Outcome, Probe};
use crate::expected::{Http, Tcp};
use crate::manifests::Manifests;
use crate::report::Test;
use crate::run::run_checks;
use crate::site::{Target, World};

/// A folder of samples and the requests that its documentation sends.
struct Task {
    name: &'static str,
    /// Files of the samples.
    files: &'static [&'static str],
    /// Whether Bookinfo's Services have to be added: the samples here are only those of its traffic.
    bookinfo: bool,
    asks: &'static [Ask],
}

struct Ask {
    via: Via,
    path: &'static str,
    /// The user that productpage would pass on.
    user: Option<&'static str>,
    wants: Wants,
}

/// Which listener is asked.
#[derive(Clone, Copy)]
enum Via {
    /// A port of the ingress gateway.
    Ingress(u16),
    /// The mesh, for a service's name.
    Mesh(&'static str),
    /// The same over plain TCP.
    Tcp(u16),
}

enum Wants {
    /// A pod of this Deployment answers.
    Backend(&'static str),
    Status(u16),
    Shares(&'static [(&'static str, f64)]),
}

use Via::{Ingress, Mesh};
use Wants::{Backend, Shares, Status};

const fn ask(via: Via, path: &'static str, wants: Wants) -> Ask {
    Ask {
        via,
        path,
        user: None,
        wants,
    }
}

/// As productpage does it once somebody has signed in.
const fn jason(via: Via, wants: Wants) -> Ask {
    Ask {
        via,
        path: "/",
        user: Some("jason"),
        wants,
    }
}

const REVIEWS: Via = Mesh("reviews");
const RATINGS: Via = Mesh("ratings");
const DETAILS: Via = Mesh("details");

const RULES: &str = "bookinfo-networking/destination-rule-all.yaml";
const ALL_V1: &str = "bookinfo-networking/virtual-service-all-v1.yaml";

/// By the tasks of Istio's documentation on traffic management.
const TASKS: &[Task] = &[
    Task {
        name: "bookinfo-ingress",
        files: &["bookinfo-networking/bookinfo-gateway.yaml"],
        bookinfo: true,
        asks: &[
            ask(Ingress(8080), "/productpage", Backend("productpage-v1")),
            ask(Ingress(8080), "/static/a.css", Backend("productpage-v1")),
            ask(Ingress(8080), "/login", Backend("productpage-v1")),
            ask(Ingress(8080), "/logout", Backend("productpage-v1")),
            ask(
                Ingress(8080),
                "/api/v1/products/0/reviews",
                Backend("productpage-v1"),
            ),
            ask(Ingress(8080), "/productpage/more", Status(404)),
            ask(Ingress(8080), "/", Status(404)),
        ],
    },
    Task {
        name: "bookinfo-request-routing",
        files: &[RULES, ALL_V1],
        bookinfo: true,
        asks: &[
            ask(REVIEWS, "/", Backend("reviews-v1")),
            ask(RATINGS, "/", Backend("ratings-v1")),
            ask(DETAILS, "/", Backend("details-v1")),
            ask(Mesh("productpage"), "/", Backend("productpage-v1")),
            jason(REVIEWS, Backend("reviews-v1")),
        ],
    },
    Task {
        name: "bookinfo-by-user",
        files: &[
            RULES,
            "bookinfo-networking/virtual-service-reviews-test-v2.yaml",
        ],
        bookinfo: true,
        asks: &[
            ask(REVIEWS, "/", Backend("reviews-v1")),
            jason(REVIEWS, Backend("reviews-v2")),
        ],
    },
    Task {
        name: "bookinfo-by-user-v2-v3",
        files: &[
            RULES,
            "bookinfo-networking/virtual-service-reviews-jason-v2-v3.yaml",
        ],
        bookinfo: true,
        asks: &[
            ask(REVIEWS, "/", Backend("reviews-v3")),
            jason(REVIEWS, Backend("reviews-v2")),
        ],
    },
    Task {
        name: "bookinfo-shift-90-10",
        files: &[
            RULES,
            "bookinfo-networking/virtual-service-reviews-90-10.yaml",
        ],
        bookinfo: true,
        asks: &[ask(
            REVIEWS,
            "/",
            Shares(&[("reviews-v1", 0.9), ("reviews-v2", 0.1)]),
        )],
    },
    Task {
        name: "bookinfo-shift-80-20",
        files: &[
            RULES,
            "bookinfo-networking/virtual-service-reviews-80-20.yaml",
        ],
        bookinfo: true,
        asks: &[ask(
            REVIEWS,
            "/",
            Shares(&[("reviews-v1", 0.8), ("reviews-v2", 0.2)]),
        )],
    },
    Task {
        name: "bookinfo-shift-50-v3",
        files: &[
            RULES,
            "bookinfo-networking/virtual-service-reviews-50-v3.yaml",
        ],
        bookinfo: true,
        asks: &[ask(
            REVIEWS,
            "/",
            Shares(&[("reviews-v1", 0.5), ("reviews-v3", 0.5)]),
        )],
    },
    Task {
        name: "bookinfo-shift-v2-v3",
        files: &[
            RULES,
            "bookinfo-networking/virtual-service-reviews-v2-v3.yaml",
        ],
        bookinfo: true,
        asks: &[ask(
            REVIEWS,
            "/",
            Shares(&[("reviews-v2", 0.5), ("reviews-v3", 0.5)]),
        )],
    },
    Task {
        name: "bookinfo-shift-v3",
        files: &[
            "bookinfo-networking/destination-rule-reviews.yaml",
            "bookinfo-networking/virtual-service-reviews-v3.yaml",
        ],
        bookinfo: true,
        asks: &[ask(REVIEWS, "/", Backend("reviews-v3"))],
    },
    Task {
        name: "bookinfo-abort",
        files: &[
            RULES,
            "bookinfo-networking/virtual-service-ratings-test-abort.yaml",
        ],
        bookinfo: true,
        asks: &[
            ask(RATINGS, "/", Backend("ratings-v1")),
            jason(RATINGS, Status(500)),
        ],
    },
    Task {
        name: "bookinfo-delay",
        files: &[
            RULES,
            "bookinfo-networking/virtual-service-ratings-test-delay.yaml",
        ],
        bookinfo: true,
        // Seven seconds, as the documentation has it: within a request's time here. Only that it ends well is
        // looked at; a delay of the right length is tested in `dalbi` itself.
        asks: &[
            ask(RATINGS, "/", Backend("ratings-v1")),
            Ask {
                via: RATINGS,
                path: "/?delay",
                user: Some("jason"),
                wants: Backend("ratings-v1"),
            },
        ],
    },
    Task {
        name: "bookinfo-details-fault",
        files: &["bookinfo-networking/fault-injection-details-v1.yaml"],
        bookinfo: true,
        asks: &[ask(DETAILS, "/", Status(555))],
    },
    Task {
        name: "bookinfo-details-v2",
        files: &[RULES, "bookinfo-networking/virtual-service-details-v2.yaml"],
        bookinfo: true,
        asks: &[ask(DETAILS, "/", Backend("details-v2"))],
    },
    Task {
        name: "bookinfo-ratings-db",
        files: &[RULES, "bookinfo-networking/virtual-service-ratings-db.yaml"],
        bookinfo: true,
        asks: &[
            ask(REVIEWS, "/", Backend("reviews-v3")),
            ask(RATINGS, "/", Backend("ratings-v2-7")),
        ],
    },
    Task {
        name: "bookinfo-ratings-mysql",
        files: &[
            RULES,
            "bookinfo-networking/virtual-service-ratings-mysql.yaml",
        ],
        bookinfo: true,
        asks: &[
            ask(REVIEWS, "/", Backend("reviews-v3")),
            ask(RATINGS, "/", Backend("ratings-v2-mysql-7")),
        ],
    },
    Task {
        name: "bookinfo-ratings-mysql-vm",
        files: &[
            RULES,
            "bookinfo-networking/virtual-service-ratings-mysql-vm.yaml",
        ],
        bookinfo: true,
        asks: &[
            ask(REVIEWS, "/", Backend("reviews-v3")),
            ask(RATINGS, "/", Backend("ratings-v2-mysql-vm-7")),
        ],
    },
    Task {
        name: "bookinfo-gateway-api-v1",
        files: &["bookinfo-gateway-api/route-all-v1.yaml"],
        bookinfo: true,
        asks: &[
            ask(REVIEWS, "/", Backend("reviews-v1")),
            ask(RATINGS, "/", Backend("ratings-v1")),
            ask(DETAILS, "/", Backend("details-v1")),
        ],
    },
    Task {
        name: "bookinfo-gateway-api-90-10",
        files: &["bookinfo-gateway-api/route-reviews-90-10.yaml"],
        bookinfo: true,
        asks: &[ask(
            REVIEWS,
            "/",
            Shares(&[("reviews-v1", 0.9), ("reviews-v2", 0.1)]),
        )],
    },
    Task {
        name: "bookinfo-gateway-api-50-v3",
        files: &["bookinfo-gateway-api/route-reviews-50-v3.yaml"],
        bookinfo: true,
        asks: &[ask(
            REVIEWS,
            "/",
            Shares(&[("reviews-v1", 0.5), ("reviews-v3", 0.5)]),
        )],
    },
    Task {
        name: "bookinfo-gateway-api-v3",
        files: &["bookinfo-gateway-api/route-reviews-v3.yaml"],
        bookinfo: true,
        asks: &[ask(REVIEWS, "/", Backend("reviews-v3"))],
    },
    Task {
        name: "httpbin",
        files: &["httpbin/httpbin.yaml", "httpbin/httpbin-gateway.yaml"],
        bookinfo: false,
        asks: &[ask(Ingress(80), "/status/418", Backend("httpbin"))],
    },
    Task {
        name: "helloworld",
        files: &[
            "helloworld/helloworld.yaml",
            "helloworld/helloworld-gateway.yaml",
        ],
        bookinfo: false,
        asks: &[
            // Which of the two versions is the balancing policy's choice, no weight's.
            ask(Ingress(80), "/hello", Backend("helloworld-v")),
            ask(Ingress(80), "/hello/there", Status(404)),
        ],
    },
    Task {
        name: "tcp-echo-v1",
        files: &[
            "tcp-echo/tcp-echo-services.yaml",
            "tcp-echo/tcp-echo-all-v1.yaml",
        ],
        bookinfo: false,
        asks: &[ask(Via::Tcp(31400), "", Backend("tcp-echo-v1"))],
    },
    Task {
        name: "tcp-echo-20-v2",
        files: &[
            "tcp-echo/tcp-echo-services.yaml",
            "tcp-echo/tcp-echo-all-v1.yaml",
            "tcp-echo/tcp-echo-20-v2.yaml",
        ],
        bookinfo: false,
        asks: &[ask(
            Via::Tcp(31400),
            "",
            Shares(&[("tcp-echo-v1", 0.8), ("tcp-echo-v2", 0.2)]),
        )],
    },
];

/// One test per task.
pub(super) async fn run(
    folder: &Path,
    world: &World,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for task in TASKS.iter().filter(|task| wanted(task.name)) {
        let files: Vec<String> = task.files.iter().map(|file| (*file).to_owned()).collect();
        let mut manifests = Manifests::read(&folder.join("samples"), &files)?;
        if task.bookinfo {
            for document in bookinfo() {
                manifests.push(document);
            }
        }
        manifests.keep_last();
        let checks: Vec<Check> = task
            .asks
            .iter()
            .enumerate()
            .map(|(index, ask)| ask.check(task, index))
            .collect();
        tests.push(Test {
            name: task.name.to_owned(),
            features: vec!["Istio".to_owned()],
            provisional: false,
            rows: run_checks(world, &manifests, &checks).await,
        });
    }
    Ok(tests)
}

impl Ask {
    fn check(&self, task: &Task, index: usize) -> Check {
        let (target, service) = match self.via {
            Ingress(port) | Via::Tcp(port) => (Target::Port(port), "ingress"),
            Mesh(service) => (Target::Mesh, service),
        };
        let backend = match self.wants {
            Backend(name) => Some(name),
            _ => None,
        };
        let one = match self.via {
            Via::Tcp(_) => Probe::Tcp {
                target,
                server_name: None,
                expected: Tcp {
                    backend: backend.unwrap_or_default().to_owned(),
                    namespace: "default".to_owned(),
                    ..Tcp::default()
                },
            },
            _ => Probe::Http {
                target,
                tls: None,
                expected: Box::new(self.expected(service, backend)),
                outcome: Outcome::AsExpected,
            },
        };
        let probe = match self.wants {
            Shares(shares) => Probe::Shares {
                of: Box::new(one),
                shares: shares
                    .iter()
                    .map(|(name, share)| ((*name).to_owned(), *share))
                    .collect(),
                named_in: None,
            },
            _ => one,
        };
        let user = self
            .user
            .map(|user| format!(" by {user}"))
            .unwrap_or_default();
        let title = format!("{service} {}{user}", self.path);
        Check::new(format!("{}/{index}", task.name), title, Ok(probe))
    }

    fn expected(&self, service: &str, backend: Option<&str>) -> Http {
        let mut expected = Http::default();
        self.path.clone_into(&mut expected.request.path);
        if let Mesh(_) = self.via {
            // The port that all of Bookinfo's services have.
            expected.request.host = format!("{service}:9080");
        }
        if let Some(user) = self.user {
            let header = [("end-user".to_owned(), user.to_owned())];
            expected.request.headers = Some(BTreeMap::from(header));
        }
        expected.backend = backend.map(str::to_owned);
        if let Status(status) = self.wants {
            expected.response.status_code = Some(status);
        }
        expected
    }
}

/// The Services of Bookinfo and of each of their versions.
fn bookinfo() -> Vec<Value> {
    let services: [(&str, &[&str]); 4] = [
        ("productpage", &["v1"]),
        ("details", &["v1", "v2"]),
        ("reviews", &["v1", "v2", "v3"]),
        ("ratings", &["v1", "v2", "v2-mysql", "v2-mysql-vm"]),
    ];
    let mut documents = Vec::new();
    for (app, versions) in services {
        documents.push(service(app, &json!({"app": app})));
        for version in versions {
            let labels = json!({"app": app, "version": version});
            let name = format!("{app}-{version}");
            documents.push(service(&name, &labels));
            documents.push(json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": app, "image": "conformance/echo-basic:v0"}]},
                }},
            }));
        }
    }
    documents
}

fn service(name: &str, selector: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": 9080}]},
    })
}
