//! One balancer, many threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use alba::{
    Balancer, Completion, EndpointId, Outcome, OutlierDetection, PickRequest, Policy, Rng,
    Settings, Time,
};

use crate::world::{endpoints, policies};

const WORKERS: u64 = 4;
const PICKS: u64 = 20_000;
const ENDPOINTS: u64 = 12;

/// Workers pick and complete while another thread reloads, checks health and sweeps.
fn run(policy: &Policy) {
    let outlier = OutlierDetection {
        consecutive_5xx: 3,
        interval: Duration::from_millis(5),
        base_ejection_time: Duration::from_millis(5),
        max_ejection_percent: 50,
        ..OutlierDetection::default()
    };
    let settings = Settings::new(policy.clone(), Some(outlier));
    let list = endpoints(&[1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
    let current = Mutex::new(Arc::new(Balancer::new(settings.clone(), &list, Time::ZERO)));
    let (clock, picked) = (AtomicU64::new(0), AtomicU64::new(0));
    let (succeeded, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    let snapshot = || Arc::clone(&current.lock().expect("no worker panicked"));

    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|seed| {
                let (clock, picked, succeeded, failed) = (&clock, &picked, &succeeded, &failed);
                let snapshot = &snapshot;
                scope.spawn(move || {
                    let mut rng = Rng::seeded(seed);
                    let mut held = Vec::new();
                    for _ in 0..PICKS {
                        let balancer = snapshot();
                        let now = Time::from_nanos(clock.fetch_add(10_000, Ordering::Relaxed));
                        if let Some(pick) = balancer.pick(now, &mut rng, &PickRequest::default()) {
                            picked.fetch_add(1, Ordering::Relaxed);
                            held.push(pick);
                        }
                        if held.len() > 8 || (!held.is_empty() && rng.below(3) == 0) {
                            let pick = held.swap_remove(rng.below(held.len() as u32) as usize);
                            let outcome = match rng.below(8) {
                                0 => Outcome::Cancelled,
                                1..=3 => Outcome::ServerError,
                                _ => Outcome::Success,
                            };
                            match outcome {
                                Outcome::Success => succeeded.fetch_add(1, Ordering::Relaxed),
                                Outcome::ServerError => failed.fetch_add(1, Ordering::Relaxed),
                                _ => 0,
                            };
                            balancer.complete(pick, Completion::new(outcome, now));
                        }
                    }
                    // What is still held is dropped, as by a connection that goes away.
                })
            })
            .collect();
        let (clock, done, current, snapshot) = (&clock, &done, &current, &snapshot);
        let (settings, list) = (&settings, &list);
        scope.spawn(move || {
            let mut rng = Rng::seeded(99);
            while !done.load(Ordering::Relaxed) {
                let now = Time::from_nanos(clock.load(Ordering::Relaxed));
                let balancer = snapshot();
                let id = EndpointId(u64::from(rng.below(ENDPOINTS as u32)));
                balancer.set_health(id, rng.below(4) > 0, now);
                balancer.handle_timeout(now);
                if rng.below(8) == 0 {
                    let next = balancer.apply(settings.clone(), list, now);
                    *current.lock().expect("no worker panicked") = Arc::new(next);
                }
                thread::yield_now();
            }
        });
        for worker in workers {
            worker.join().expect("the worker ends");
        }
        done.store(true, Ordering::Relaxed);
    });

    let balancer = snapshot();
    let views: Vec<_> = balancer.endpoints(Time::ZERO).collect();
    assert!(
        views.iter().all(|view| view.in_flight == 0),
        "{policy:?}: {views:?}"
    );
    let sum = |count: fn(&alba::EndpointView<'_>) -> u64| views.iter().map(count).sum::<u64>();
    assert_eq!(sum(|view| view.requests), picked.into_inner(), "{policy:?}");
    assert_eq!(
        sum(|view| view.successes),
        succeeded.into_inner(),
        "{policy:?}"
    );
    assert_eq!(sum(|view| view.failures), failed.into_inner(), "{policy:?}");
    assert!(
        sum(|view| view.ejections) > 0,
        "{policy:?}: the run should eject"
    );

    // Whatever happened at once, what is picked now is what is available now.
    let mut rng = Rng::seeded(5);
    for _ in 0..1_000 {
        let available = balancer.available();
        match balancer.pick(Time::ZERO, &mut rng, &PickRequest::default()) {
            Some(pick) => {
                let view = balancer
                    .endpoints(Time::ZERO)
                    .nth(pick.index() as usize)
                    .expect("a pick is of the list");
                assert!(
                    view.healthy && view.ejected_until.is_none(),
                    "{policy:?}: {view:?}"
                );
            }
            None => assert_eq!(available, 0, "{policy:?}"),
        }
    }
}

#[test]
fn counts_add_up_under_contention() {
    policies().iter().for_each(run);
}

#[test]
fn a_balancer_and_its_picks_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Balancer>();
    crosses::<alba::Pick>();
}
