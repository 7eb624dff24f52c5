//! The world against queueing theory, and each thing that can happen in it.

use std::sync::{Arc, Mutex};

use alba::{EndpointId, LoadReport, Observation};

use super::*;
use crate::policies;
use crate::policy::Server as Number;
use crate::scenario::decode;
use crate::{Row, run};

/// Runs `text` under a policy with a seed.
fn row(text: &str, size: &str, policy: &str, seed: u64) -> Row {
    let scenario = &decode("test", text).unwrap()[0];
    let policy = policies::by_name(policy).unwrap();
    run(scenario, size.parse().unwrap(), &policy, seed)
}

/// A scenario with what every test wants: short, without stretching.
fn short(rest: &str) -> String {
    let load = if rest.contains("load =") {
        ""
    } else {
        "load = 0.3\n"
    };
    format!("about = 'test'\nwarm_up_s = 1\nmeasured_s = 4\nstretch = false\n{load}{rest}")
}

/// What a dispatcher sees of a world.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Servers(Vec<Number>),
    Pick {
        at: Time,
        class: u32,
        zone: u32,
        tried: usize,
    },
    Done {
        server: Number,
        outcome: Outcome,
        report: Option<LoadReport>,
    },
    Probed(Option<LoadReport>),
    Reported(Number),
    Learned(Vec<Observation>),
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// Takes servers in turn and writes down what it sees.
struct Witness {
    log: Log,
    servers: Vec<Number>,
    turn: usize,
    dispatcher: u32,
    probing: bool,
}

impl Policy for Witness {
    fn set_servers(&mut self, _now: Time, servers: &[(Number, Locality)], _rng: &mut Rng) {
        self.servers = servers.iter().map(|(server, _)| *server).collect();
        self.log
            .lock()
            .unwrap()
            .push(Seen::Servers(self.servers.clone()));
    }

    fn pick(&mut self, now: Time, request: &Request<'_>, _rng: &mut Rng) -> Option<Number> {
        self.log.lock().unwrap().push(Seen::Pick {
            at: now,
            class: request.class,
            zone: request.zone,
            tried: request.tried.len(),
        });
        self.turn += 1;
        Some(self.servers[self.turn % self.servers.len()])
    }

    fn complete(&mut self, _now: Time, done: &Done, _rng: &mut Rng) {
        self.log.lock().unwrap().push(Seen::Done {
            server: done.server,
            outcome: done.outcome,
            report: done.report,
        });
    }

    fn probes(&mut self, _now: Time, _rng: &mut Rng, out: &mut Vec<Number>) {
        if self.probing {
            out.push(self.servers[0]);
        }
    }

    fn probed(&mut self, _now: Time, _server: Number, report: Option<&LoadReport>) {
        self.log.lock().unwrap().push(Seen::Probed(report.copied()));
    }

    fn reported(&mut self, _now: Time, server: Number, _report: &LoadReport) {
        self.log.lock().unwrap().push(Seen::Reported(server));
    }

    fn observations(&mut self, _now: Time, out: &mut Vec<Observation>) {
        let mut own = Observation::none(EndpointId(1));
        own.in_flight = self.dispatcher + 1;
        own.successes = 2;
        own.silence_s = f64::from(self.dispatcher);
        out.push(own);
    }

    fn learn(&mut self, _now: Time, others: &[Observation]) {
        self.log
            .lock()
            .unwrap()
            .push(Seen::Learned(others.to_vec()));
    }
}

/// What dispatcher 0 saw, and the row.
fn witnessed(text: &str, size: &str, probing: bool, seed: u64) -> (Vec<Seen>, Row) {
    let log = Log::default();
    let own = Arc::clone(&log);
    let factory = Factory::new("witness", move |setup| Witness {
        log: if setup.dispatcher == 0 {
            Arc::clone(&own)
        } else {
            Log::default()
        },
        servers: Vec::new(),
        turn: 0,
        dispatcher: setup.dispatcher,
        probing,
    });
    let scenario = &decode("test", text).unwrap()[0];
    let row = run(scenario, size.parse().unwrap(), &factory, seed);
    let seen = log.lock().unwrap().clone();
    (seen, row)
}

fn count(seen: &[Seen], outcome: Outcome) -> usize {
    seen.iter()
        .filter(|seen| matches!(seen, Seen::Done { outcome: is, .. } if *is == outcome))
        .count()
}

#[test]
fn mean_sojourn_under_processor_sharing_is_insensitive_to_the_law() {
    // M/G/1-PS: E[T] = E[S] / (1 - ρ) whatever the law of work (Kleinrock 1967). Twenty queues of one core
    // without network or limits; over a thousand relaxation times each, so the mean lies within some 4 %.
    for law in ["exponential", "constant", "normal"] {
        for load in [0.3, 0.6, 0.8] {
            let text = format!(
                "about = 'theory'
                load = {load}
                warm_up_s = 10
                measured_s = 60
                stretch = false
                deadline_ms = 100000
                work = {{ mean_ms = 10, law = '{law}' }}
                server = {{ cores = 1, concurrency = 100000 }}
                network = {{ one_way_ms = 0 }}"
            );
            let figures = row(&text, "20x1", "random", 1).figures;
            let theory_ms = 10.0 / (1.0 - load);
            assert!(
                (figures.mean_ms / theory_ms - 1.0).abs() < 0.05,
                "{law} at {load}, seed 1: {} ms, theory {theory_ms} ms",
                figures.mean_ms
            );
            // Work is neither lost nor made.
            assert!(
                (figures.useful_share / load - 1.0).abs() < 0.02,
                "{figures:?}"
            );
        }
    }
}

#[test]
fn several_cores_follow_erlang() {
    // M/M/4 with processor sharing has the same mean as with a queue: Erlang's C formula.
    let text = "about = 'theory'
        load = 0.8
        warm_up_s = 10
        measured_s = 100
        stretch = false
        work = { mean_ms = 10 }
        server = { cores = 4, concurrency = 100000 }
        network = { one_way_ms = 0 }";
    let offered: f64 = 3.2;
    let terms = [1.0, offered, offered.powi(2) / 2.0, offered.powi(3) / 6.0];
    let last = offered.powi(4) / 24.0 / (1.0 - 0.8);
    let waits = last / (terms.iter().sum::<f64>() + last);
    let theory_ms = 10.0 + waits * 10.0 / (4.0 - offered);
    let mean_ms = row(text, "10x1", "random", 1).figures.mean_ms;
    assert!(
        (mean_ms / theory_ms - 1.0).abs() < 0.03,
        "seed 1: {mean_ms} ms, theory {theory_ms} ms"
    );
}

#[test]
fn a_seed_gives_the_same_world_and_every_policy_the_same_requests() {
    let text = short(
        "class = [{ share = 2, cost = 1 }, { share = 1, cost = 4 }]
        antagonists = { share = 0.3, state_s = 1, allocation = [0.2, 0.5] }
        [network]
        zones = 2
        [arrivals]
        zone_shares = [0.6, 0.4]",
    );
    for policy in ["alba", "p2c", "oracle"] {
        let [first, second] = [0; 2].map(|_| row(&text, "6x3", policy, 7));
        assert_eq!(first, second, "{policy}");
        assert_ne!(
            first.figures,
            row(&text, "6x3", policy, 8).figures,
            "{policy}"
        );
    }
    let requests = |text: &str| {
        let (seen, row) = witnessed(text, "6x3", false, 7);
        let first = seen
            .into_iter()
            .filter(|seen| matches!(seen, Seen::Pick { tried: 0, .. }))
            .take(500)
            .collect::<Vec<_>>();
        assert_eq!(first.len(), 500);
        (first, row.figures.requests)
    };
    // Other servers, other answers, the same requests.
    let trouble = "\n[[group]]\nshare = 0.5\nslowdown = 3\n";
    assert_eq!(requests(&text), requests(&(text.clone() + trouble)));
    let other = row(&text, "6x3", "round_robin", 7).figures.requests;
    assert_eq!(other, row(&text, "6x3", "alba", 7).figures.requests);
}

#[test]
fn a_hung_server_costs_the_deadline_and_no_retry() {
    let text = short("deadline_ms = 200\ngroup = [{ share = 1, state = 'hung' }]");
    let (seen, row) = witnessed(&text, "2x1", true, 1);
    let figures = row.figures;
    assert!(figures.requests > 100);
    assert_eq!((figures.error_rate, figures.timeout_rate), (1.0, 1.0));
    assert_eq!(figures.attempts_per_request, 1.0);
    assert!((figures.p50_ms - 200.0).abs() < 1.0, "{figures:?}");
    assert_eq!(count(&seen, Outcome::Success), 0);
    // What was abandoned is taken out, so that it never holds more than a deadline's worth.
    assert!(figures.in_flight_deviation < 100.0);
    let probed = seen.iter().filter(|seen| matches!(seen, Seen::Probed(_)));
    assert!(probed.clone().count() > 10);
    assert!(probed.clone().all(|seen| *seen == Seen::Probed(None)));
}

#[test]
fn refused_connections_are_tried_elsewhere_twice() {
    let all = short("group = [{ share = 1, state = 'crashed' }]");
    let figures = row(&all, "4x1", "round_robin", 1).figures;
    assert_eq!((figures.error_rate, figures.timeout_rate), (1.0, 0.0));
    assert_eq!(figures.attempts_per_request, 3.0);
    assert_eq!(figures.p50_ms, 0.0, "what fails at once has no latency");

    let one = short("group = [{ count = 1, state = 'crashed' }]");
    let figures = row(&one, "4x1", "random", 1).figures;
    assert_eq!(figures.error_rate, 0.0);
    assert!(
        (figures.attempts_per_request - 1.25).abs() < 0.05,
        "{figures:?}"
    );
}

#[test]
fn a_crash_resets_what_is_in_the_server() {
    let text =
        short("load = 0.8\ngroup = [{ count = 1, from_s = 1, until_s = 2, state = 'crashed' }]");
    let (seen, row) = witnessed(&text, "2x1", false, 1);
    assert!(count(&seen, Outcome::Reset) >= 1);
    assert!(count(&seen, Outcome::ConnectFailure) >= 10);
    let retried = seen
        .iter()
        .filter(|seen| matches!(seen, Seen::Pick { tried: 1, .. }))
        .count();
    assert!(retried >= count(&seen, Outcome::Reset));
    assert!(row.figures.requests > 1000);
    // It is back for the last two seconds.
    let last = seen.iter().rev().take(200).collect::<Vec<_>>();
    assert!(last.iter().any(|seen| matches!(
        seen,
        Seen::Done {
            server: 0,
            outcome: Outcome::Success,
            ..
        }
    )));
}

#[test]
fn errors_are_not_tried_again_and_may_hide_the_load() {
    for (reports, expected) in [("empty", Some(0)), ("none", None)] {
        let text = short(&format!(
            "group = [{{ share = 1, failing = 1, failing_reports = '{reports}' }}]"
        ));
        let (seen, row) = witnessed(&text, "2x1", false, 1);
        assert_eq!(row.figures.error_rate, 1.0);
        assert_eq!(row.figures.attempts_per_request, 1.0);
        for seen in &seen {
            if let Seen::Done {
                outcome, report, ..
            } = seen
            {
                assert_eq!(*outcome, Outcome::ServerError);
                assert_eq!(report.and_then(|report| report.in_flight), expected);
                assert_eq!(report.is_some(), reports == "empty");
            }
        }
    }
}

#[test]
fn a_full_queue_refuses_at_once() {
    let text = short("load = 3\nserver = { cores = 1, concurrency = 2, queue = 3 }");
    let (seen, row) = witnessed(&text, "2x1", false, 1);
    assert!(count(&seen, Outcome::GatewayError) > 100);
    // At most five in it, at 20 ms each; the core is never idle.
    assert!(row.figures.p50_ms < 130.0, "{row:?}");
    assert!((row.figures.error_rate - 2.0 / 3.0).abs() < 0.05, "{row:?}");
    assert!(row.figures.useful_share > 0.9, "{row:?}");
    for seen in &seen {
        if let Seen::Done {
            report: Some(report),
            ..
        } = seen
        {
            assert!(report.in_flight.unwrap() <= 5);
        }
    }
}

#[test]
fn slow_servers_slow_connections_and_zones_take_their_time() {
    let base = "load = 0.05\nwork = { law = 'constant' }\n";
    let p50_ms = |rest: &str| {
        let figures = row(&short(&format!("{base}{rest}")), "3x1", "round_robin", 1).figures;
        (figures.p50_ms, figures.remote_share)
    };
    let near = |(p50_ms, _): (f64, f64), expected: f64| {
        assert!((p50_ms - expected).abs() < 0.2, "{p50_ms} {expected}");
    };
    near(p50_ms(""), 20.5);
    near(p50_ms("group = [{ share = 1, slowdown = 3 }]"), 60.5);
    near(p50_ms("group = [{ share = 1, connect_ms = 300 }]"), 320.5);
    let (p50_ms, remote) = p50_ms("network = { zones = 3 }");
    near((p50_ms, remote), 22.5);
    assert!((remote - 2.0 / 3.0).abs() < 0.01, "{remote}");
}

#[test]
fn servers_join_warm_up_drain_and_leave() {
    let text = "about = 'test'
        load = 0.3
        warm_up_s = 1
        measured_s = 10
        stretch = false
        work = { law = 'constant' }
        server = { warm_up_s = 5, warm_up_factor = 3, grace_s = 3 }
        change = [{ at_s = 1, join = 0.5, leave = 0.5 }]";
    let (seen, row) = witnessed(text, "4x1", false, 1);
    let lists: Vec<_> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Servers(servers) => Some(servers.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(lists, [vec![0, 1, 2, 3], vec![2, 3, 4, 5]]);
    // Discovery is quicker than the grace: nothing is refused.
    assert_eq!(row.figures.error_rate, 0.0);
    assert_eq!(row.figures.attempts_per_request, 1.0);
    let drains = |server| {
        seen.iter().any(|seen| matches!(
            seen,
            Seen::Done { server: of, report: Some(report), .. } if *of == server && report.draining
        ))
    };
    assert!(drains(0) && drains(1) && !drains(2));
    // Told by the new ones, young and old.
    let latencies: Vec<_> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Done {
                server: 4,
                report: Some(report),
                ..
            } => report.latency,
            _ => None,
        })
        .collect();
    let first = latencies[5].as_secs_f64();
    let last = latencies.last().unwrap().as_secs_f64();
    assert!(first > 0.04 && last < 0.03, "{first} {last}");
}

#[test]
fn reports_come_as_the_scenario_says() {
    let reports = |rest: &str| {
        let (seen, row) = witnessed(&short(rest), "3x1", true, 1);
        let answers = seen
            .iter()
            .filter(|seen| {
                matches!(
                    seen,
                    Seen::Done {
                        outcome: Outcome::Success,
                        ..
                    }
                )
            })
            .count();
        let share = |wanted: fn(&Seen) -> bool| {
            seen.iter().filter(|&seen| wanted(seen)).count() as f64 / answers as f64
        };
        let told = share(|seen| {
            matches!(
                seen,
                Seen::Done {
                    report: Some(_),
                    ..
                }
            )
        });
        let probed = share(|seen| matches!(seen, Seen::Probed(Some(_))));
        let alone = share(|seen| matches!(seen, Seen::Reported(_)));
        (told, probed, alone, row.figures)
    };
    let (told, probed, alone, figures) = reports("");
    assert!(told == 1.0 && (probed - 1.0).abs() < 0.02 && alone == 0.0);
    assert!(
        (figures.probes_per_request - 1.0).abs() < 0.01,
        "{figures:?}"
    );
    assert!(
        (figures.bytes_per_request - 364.0).abs() < 4.0,
        "{figures:?}"
    );

    let (told, probed, alone, _) = reports("reports = { by = 'none', probes = false }");
    assert_eq!((told, probed, alone), (0.0, 0.0, 0.0));

    let (told, _, alone, figures) = reports("reports = { by = 'out-of-band', probes = false }");
    assert!(told == 0.0 && alone > 0.0);
    // 180 requests a second and three reports.
    assert!(
        (figures.bytes_per_request - 300.0 - 64.0 / 60.0).abs() < 3.0,
        "{figures:?}"
    );

    let (told, probed, _, _) = reports("reports = { age_s = 3, lost = 0.5 }");
    assert!(
        (told - 0.5).abs() < 0.05 && (probed - 0.5).abs() < 0.05,
        "{told} {probed}"
    );
}

#[test]
fn old_reports_tell_how_things_were() {
    // Nothing comes until it does: what is told right after still says zero.
    let text = short(
        "load = 2
        reports = { age_s = 5 }
        arrivals = { step = [{ from_s = -10, until_s = 2, factor = 0.01 }] }",
    );
    let (seen, _) = witnessed(&text, "2x1", false, 1);
    let told: Vec<_> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Done {
                report: Some(report),
                ..
            } => report.in_flight,
            _ => None,
        })
        .collect();
    let quarter = &told[told.len() / 20..told.len() / 4];
    let idle = quarter.iter().filter(|&&in_flight| in_flight <= 1).count();
    assert!(idle * 2 > quarter.len(), "{idle} of {}", quarter.len());
}

#[test]
fn dispatchers_hear_the_sum_of_the_others() {
    let (seen, _) = witnessed(&short(""), "3x4", false, 1);
    let heard: Vec<_> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Learned(others) => Some(others),
            _ => None,
        })
        .collect();
    assert_eq!(heard.len(), 5, "once a second within 5 s");
    // The first time not all others need have told.
    for others in &heard[1..] {
        assert_eq!(others.len(), 3);
        // 2 + 3 + 4, without its own 1; the least silence besides its own 0.
        assert_eq!(others[1].in_flight, 9);
        assert_eq!(others[1].silence_s, 1.0);
        assert_eq!(others[1].successes, 6);
        assert_eq!(others[2].in_flight, 0);
    }
    let off = short("exchange = { on = false }");
    let (seen, _) = witnessed(&off, "3x4", false, 1);
    assert!(!seen.iter().any(|seen| matches!(seen, Seen::Learned(_))));
}

#[test]
fn tenants_are_measured_against_max_min() {
    let text = "load = 2\ndeadline_ms = 10000\ntenant = [{ share = 10 }, { share = 1 }]";
    let figures = row(&short(text), "4x1", "round_robin", 1).figures;
    // Half of what each offers gets through; fair would be 0.82 and 0.18: 0.91 / 1.82 and 0.09 / 0.18.
    let jain = figures.jain_tenants.unwrap();
    assert!((0.85..0.97).contains(&jain), "{jain}");
    assert!(
        row(&short(""), "4x1", "round_robin", 1)
            .figures
            .jain_tenants
            .is_none()
    );
}

#[test]
fn admission_gives_tenants_their_shares_of_an_overloaded_world() {
    let text = short(
        "load = 2
        measured_s = 10
        warm_up_s = 5
        deadline_ms = 1000
        tenant = [{ share = 10 }, { share = 1 }]",
    )
    .replace("measured_s = 4\n", "")
    .replace("warm_up_s = 1\n", "");
    let without = row(&text, "10x2", "p2c", 1).figures;
    let with = row(&text, "10x2", "alba", 1).figures;
    let jain = |figures: &Figures| figures.jain_tenants.unwrap();
    assert!(
        jain(&with) > 0.95 && jain(&without) < 0.92,
        "{with:?} {without:?}"
    );
    assert!(with.useful_share > 0.9, "{with:?}");
}
