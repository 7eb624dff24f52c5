//! What the learned policy learns, and what it makes of it.

use std::time::Duration;

use alba::{
    Alba, Balancer, Completion, EndpointId, LoadReport, Locality, Observation, Outcome, Policy,
    Settings, Time,
};

use crate::world::{World, endpoints};

fn learned(endpoints: usize, seed: u64) -> World {
    World::new(Policy::Alba(Alba::default()), &vec![1; endpoints], seed)
}

fn busy(in_flight: u32) -> LoadReport {
    LoadReport {
        in_flight: Some(in_flight),
        ..LoadReport::default()
    }
}

/// Sends `n` requests one after the other, each answered after `times[endpoint]` or, if that is `None`,
/// failed at once; returns how often each endpoint was picked.
fn serve(world: &mut World, times_ms: &[Option<u64>], n: u32) -> Vec<u32> {
    let mut counts = vec![0; times_ms.len()];
    for _ in 0..n {
        let pick = world.pick();
        let index = pick.index() as usize;
        counts[index] += 1;
        match times_ms[index] {
            Some(time_ms) => {
                world.pass(Duration::from_millis(time_ms));
                world.complete(pick, Outcome::Success);
            }
            None => world.complete(pick, Outcome::ServerError),
        }
        world.pass(Duration::from_millis(1));
    }
    counts
}

#[test]
fn a_slow_endpoint_gets_less() {
    let mut world = learned(4, 1);
    let times = [Some(10), Some(10), Some(10), Some(100)];
    serve(&mut world, &times, 200);
    let counts = serve(&mut world, &times, 1000);
    assert!(counts[3] < 50, "{counts:?}");
}

#[test]
fn an_endpoint_that_fails_at_once_is_no_fast_one() {
    let mut world = learned(4, 2);
    let times = [Some(10), Some(10), Some(10), None];
    let counts = serve(&mut world, &times, 1000);
    assert!(counts[3] < 20, "{counts:?}");
}

#[test]
fn an_endpoint_that_stopped_failing_comes_back() {
    let mut world = learned(4, 3);
    serve(&mut world, &[Some(10), Some(10), Some(10), None], 500);
    world.pass(Duration::from_secs(60));
    let counts = serve(&mut world, &[Some(10); 4], 1000);
    assert!(counts[3] > 100, "{counts:?}");
}

#[test]
fn when_all_fail_alike_none_is_left_out() {
    let mut world = learned(4, 4);
    let counts = serve(&mut world, &[None; 4], 1000);
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn one_that_hangs_gets_no_more() {
    let mut world = learned(4, 5);
    serve(&mut world, &[Some(10); 4], 100);
    let _hanging = world.pick_of(2);
    world.pass(Duration::from_millis(200));
    let counts = serve(&mut world, &[Some(10); 4], 500);
    assert_eq!(counts[2], 0, "{counts:?}");
}

/// An answer of each endpoint that reports so many in flight.
fn report(world: &mut World, in_flight: [u32; 2]) {
    for (index, in_flight) in (0..).zip(in_flight) {
        let pick = world.pick_of(index);
        world.pass(Duration::from_millis(10));
        let done = Completion::new(Outcome::Success, world.now).with_report(busy(in_flight));
        world.balancer.complete(pick, done);
    }
}

#[test]
fn a_stream_is_not_silence() {
    let mut world = learned(4, 5);
    serve(&mut world, &[Some(10); 4], 100);
    let mut streams: Vec<_> = (0..4).map(|index| world.pick_of(index)).collect();
    world.pass(Duration::from_millis(10));
    streams[2].answered(world.now);
    world.pass(Duration::from_secs(60));
    for index in [0, 1, 3] {
        streams[index].answered(world.now);
    }
    let counts = serve(&mut world, &[Some(10); 4], 1000);
    assert!(counts[2] > 100, "{counts:?}");
    for stream in streams {
        world.complete(stream, Outcome::Success);
    }
    assert_eq!(world.in_flight(), [0; 4]);
}

#[test]
fn the_end_of_a_stream_takes_nothing_back() {
    let mut world = learned(2, 5);
    serve(&mut world, &[Some(10); 2], 100);
    let begun = world.now;
    let mut stream = world.pick_of(0);
    stream.answered(begun);
    world.pass(Duration::from_secs(5));
    report(&mut world, [1, 30]);
    let _waiting = [world.pick_of(0), world.pick_of(1)];
    let done = Completion::new(Outcome::Success, world.now)
        .with_first_byte(begun)
        .with_report(busy(60));
    world.balancer.complete(stream, done);
    let told = world.balancer.observations(world.now);
    assert!(told[0].silence_s < 0.1, "{told:?}");
    assert_eq!(world.shares(50), [50, 0]);
}

#[test]
fn one_that_reports_too_much_blinds_nobody() {
    let mut world = learned(3, 6);
    for _ in 0..200 {
        let pick = world.pick_of(0);
        world.pass(Duration::from_millis(1));
        let done = Completion::new(Outcome::Success, world.now).with_report(busy(u32::MAX));
        world.balancer.complete(pick, done);
        for index in [1, 2] {
            let pick = world.pick_of(index);
            world.pass(Duration::from_millis(1));
            world.complete(pick, Outcome::Success);
        }
    }
    let _busy: Vec<_> = (0..5).map(|_| world.pick_of(1)).collect();
    for _ in 0..50 {
        let pick = world.try_pick(&[0]).expect("two are left");
        assert_eq!(pick.index(), 2, "the one without requests");
    }
}

#[test]
fn reports_show_what_others_send() {
    let mut world = learned(2, 6);
    report(&mut world, [12, 1]);
    assert_eq!(world.shares(50), [0, 50]);
    world.pass(Duration::from_secs(60));
    let counts = world.shares(400);
    assert!(counts[0] > 20, "an old report says little: {counts:?}");
}

#[test]
fn without_reports_what_they_say_is_nothing() {
    let mut alba = Alba::default();
    alba.without.reports = true;
    let mut world = World::new(Policy::Alba(alba), &[1, 1], 6);
    report(&mut world, [50, 0]);
    let counts = world.shares(400);
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
}

#[test]
fn a_report_that_all_dispatchers_get_ranks_nobody() {
    let mut world = learned(2, 6);
    world.balancer.observe(EndpointId(0), &busy(50), world.now);
    let counts = world.shares(400);
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
}

#[test]
fn a_draining_endpoint_is_left_out_until_it_says_otherwise() {
    let mut world = learned(3, 7);
    let draining = LoadReport {
        draining: true,
        ..LoadReport::default()
    };
    world.balancer.observe(EndpointId(1), &draining, world.now);
    assert_eq!(world.shares(300)[1], 0);
    world.balancer.observe(EndpointId(1), &busy(0), world.now);
    assert!(world.shares(300)[1] > 0);
    world.balancer.observe(EndpointId(1), &draining, world.now);
    world.pass(Duration::from_secs(11));
    assert!(world.shares(300)[1] > 0, "a silent one may have restarted");
}

fn in_zones(zones: &[&str], alba: Alba) -> World {
    let place = |zone: &str| Locality {
        region: "r".to_owned(),
        zone: zone.to_owned(),
        sub_zone: String::new(),
    };
    let mut list = endpoints(&vec![1; zones.len()]);
    for (endpoint, zone) in list.iter_mut().zip(zones) {
        endpoint.locality = place(zone);
    }
    let mut settings = Settings::new(Policy::Alba(alba), None);
    settings.origin = place("a");
    let mut world = World::new(Policy::Random, &[], 8);
    world.balancer = Balancer::new(settings, &list, world.now);
    world
}

#[test]
fn an_idle_zone_of_ones_own_takes_all_and_a_full_one_spills() {
    let mut alba = Alba::default();
    alba.zone_price = Duration::from_millis(5);
    let mut world = in_zones(&["a", "b"], alba.clone());
    serve(&mut world, &[Some(10); 2], 100);
    assert_eq!(world.shares(100), [100, 0]);
    let _held: Vec<_> = (0..40).map(|_| world.pick()).collect();
    assert!(world.in_flight()[1] > 0, "{:?}", world.in_flight());

    let mut without = alba;
    without.without.locality = true;
    let mut world = in_zones(&["a", "b"], without);
    assert!(world.shares(100)[1] > 20);
}

#[test]
fn probes_ask_those_with_old_reports_within_the_budget() {
    let mut world = learned(100, 9);
    let (mut asked, seconds) = (Vec::new(), 10);
    for _ in 0..seconds * 100 {
        let pick = world.pick();
        if let Some(probe) = world.balancer.probe(world.now) {
            asked.push(probe.id());
            world.balancer.probed(probe, Some(&busy(1)), world.now);
        }
        world.pass(Duration::from_millis(10));
        world.complete(pick, Outcome::Success);
    }
    let requests = seconds * 100;
    assert!(asked.len() > 100, "{}", asked.len());
    assert!(asked.len() <= requests / 4 + 10, "{}", asked.len());
}

#[test]
fn probes_are_limited_per_second_too() {
    let mut world = learned(5000, 10);
    let mut asked = 0;
    for _ in 0..10_000 {
        let pick = world.pick();
        if let Some(probe) = world.balancer.probe(world.now) {
            asked += 1;
            world.balancer.probed(probe, None, world.now);
        }
        world.pass(Duration::from_micros(100));
        world.complete(pick, Outcome::Success);
    }
    assert!((30..=61).contains(&asked), "{asked} probes in a second");
}

#[test]
fn an_endpoint_is_asked_once_at_a_time() {
    let mut world = learned(1, 11);
    let mut asking = Vec::new();
    for _ in 0..100 {
        let pick = world.pick();
        asking.extend(world.balancer.probe(world.now));
        world.complete(pick, Outcome::Success);
        world.pass(Duration::from_millis(50));
    }
    assert_eq!(asking.len(), 1);
}

#[test]
fn what_others_saw_spares_finding_it_out() {
    let mut world = learned(4, 12);
    serve(&mut world, &[Some(10); 4], 100);
    let mut failing = Observation::none(EndpointId(0));
    failing.failures = 30;
    let mut hung = Observation::none(EndpointId(2));
    (hung.in_flight, hung.silence_s) = (5, 2.0);
    world.balancer.learn(&[failing, hung], world.now);
    let shares = world.shares(200);
    assert!(shares[0] + shares[2] < 40, "{shares:?}");
}

#[test]
fn observations_tell_what_was_seen() {
    let mut world = learned(2, 13);
    let waiting = world.pick_of(1);
    world.pass(Duration::from_millis(30));
    world.answer(0, Outcome::ServerError, 1);
    let told = world.balancer.observations(world.now);
    assert_eq!(told.len(), 2);
    assert!(told[0].failures == 1 && told[0].in_flight == 0);
    assert_eq!(told[1].in_flight, 1);
    assert!((told[1].silence_s - 0.030).abs() < 1e-9, "{told:?}");
    let mut sum = told[1];
    sum.add(&Observation::none(told[1].id));
    assert_eq!(sum, told[1]);
    drop(waiting);
}

#[test]
fn the_same_seed_gives_the_same_picks() {
    let run = |seed| {
        let mut world = learned(20, seed);
        let times: Vec<_> = (0..20).map(|i| Some(5 + i)).collect();
        serve(&mut world, &times, 500)
    };
    assert_eq!(run(15), run(15));
    assert_ne!(run(15), run(16));
}

#[test]
fn time_zero_is_no_special_time() {
    let settings = Settings::new(Policy::Alba(Alba::default()), None);
    let balancer = Balancer::new(settings, &endpoints(&[1, 1]), Time::ZERO);
    let mut rng = alba::Rng::seeded(1);
    let pick = balancer.pick(Time::ZERO, &mut rng, &alba::PickRequest::default());
    let done = Completion::new(Outcome::Success, Time::ZERO).with_report(busy(3));
    balancer.complete(pick.expect("both are healthy"), done);
    assert_eq!(balancer.observations(Time::ZERO).len(), 2);
}
