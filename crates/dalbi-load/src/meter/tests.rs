use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One request that takes this long, from `at` on.
fn serve(meter: &mut Meter, at: Duration, takes: Duration) {
    let begun = meter.begin(at);
    meter.end(at + takes, begun, Some(Outcome::Success));
}

#[test]
fn a_steady_server_reads_its_rate_its_load_and_its_latency() {
    let mut meter = Meter::default();
    // 50 requests a second of 10 ms each, one after the other.
    for index in 0..150 {
        serve(&mut meter, ms(20 * index), ms(10));
        let reading = meter.read(ms(20 * index + 20));
        if index > 5 {
            assert!(
                (reading.requests_per_s - 50.0).abs() < 1.0,
                "{index}: {reading:?}"
            );
            assert!(
                (reading.mean_in_flight - 0.5).abs() < 0.02,
                "{index}: {reading:?}"
            );
        }
    }
    let reading = meter.read(ms(3000));
    assert_eq!((reading.in_flight, reading.errors_per_s), (0, 0.0));
    assert_eq!(reading.latency, Some(ms(10)));
}

#[test]
fn what_is_over_is_forgotten() {
    let mut meter = Meter::default();
    for index in 0..100 {
        serve(&mut meter, ms(10 * index), ms(5));
    }
    // Half of the last window is replaced, then all of it.
    let reading = meter.read(ms(1500));
    assert!((reading.requests_per_s - 50.0).abs() < 1e-9, "{reading:?}");
    for later in [ms(2000), ms(60_000)] {
        let reading = meter.read(later);
        assert_eq!((reading.requests_per_s, reading.mean_in_flight), (0.0, 0.0));
        assert_eq!(reading.latency, Some(ms(5)), "the best that is known");
    }
}

#[test]
fn requests_that_hang_are_load_from_the_first_window_to_the_last() {
    let mut meter = Meter::default();
    let _hung = [meter.begin(ms(0)), meter.begin(ms(0))];
    for at in [
        ms(900),
        ms(1000),
        ms(1001),
        ms(2500),
        ms(10_300),
        ms(10_301),
    ] {
        let reading = meter.read(at);
        assert_eq!(reading.in_flight, 2);
        assert!(
            (reading.mean_in_flight - 2.0).abs() < 1e-9,
            "at {at:?}: {reading:?}"
        );
        assert_eq!(reading.latency, None);
    }
}

#[test]
fn failures_are_errors_and_abandoned_requests_are_nothing() {
    let mut meter = Meter::default();
    for index in 0..10 {
        let failed = meter.begin(ms(100 * index));
        meter.end(ms(100 * index), failed, Some(Outcome::Failure));
        let abandoned = meter.begin(ms(100 * index));
        meter.end(ms(100 * index + 50), abandoned, None);
    }
    let reading = meter.read(ms(1000));
    assert!((reading.errors_per_s - 10.0).abs() < 1e-9, "{reading:?}");
    assert!((reading.requests_per_s - 10.0).abs() < 1e-9, "{reading:?}");
    assert_eq!(reading.latency, None);
}

#[test]
fn latency_is_that_of_requests_which_met_as_many() {
    let mut meter = Meter::default();
    // Alone a request takes 10 ms, beside nine others 100 ms.
    for index in 0..20 {
        serve(&mut meter, ms(200 * index), ms(10));
        let crowd: Vec<_> = (0..9).map(|_| meter.begin(ms(200 * index + 20))).collect();
        serve(&mut meter, ms(200 * index + 20), ms(100));
        for begun in crowd {
            meter.end(ms(200 * index + 120), begun, None);
        }
    }
    assert_eq!(meter.read(ms(4000)).latency, Some(ms(10)));
    let _crowd: Vec<_> = (0..9).map(|_| meter.begin(ms(4000))).collect();
    assert_eq!(meter.read(ms(4000)).latency, Some(ms(100)));
    // What nobody met lately gives way to what somebody did.
    for index in 0..16 {
        let begun = meter.begin(ms(20_000 + index));
        meter.end(ms(20_200 + index), begun, Some(Outcome::Success));
    }
    assert_eq!(meter.read(ms(21_000)).latency, Some(ms(200)));
}

#[test]
fn one_slow_request_does_not_move_the_median() {
    let mut meter = Meter::default();
    for index in 0..15 {
        serve(&mut meter, ms(20 * index), ms(10));
    }
    serve(&mut meter, ms(1000), ms(5000));
    assert_eq!(meter.read(ms(6000)).latency, Some(ms(10)));
}

#[test]
fn levels_double_twice_each() {
    let levels: Vec<usize> = (0..=17).map(level_of).collect();
    assert_eq!(
        levels,
        [0, 0, 1, 2, 3, 3, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7]
    );
    assert_eq!(level_of(u32::MAX), 62);
}

#[test]
fn time_that_goes_back_is_no_time() {
    let mut meter = Meter::default();
    let begun = meter.begin(ms(500));
    meter.end(ms(400), begun, Some(Outcome::Success));
    let reading = meter.read(ms(300));
    assert_eq!(reading.latency, Some(Duration::ZERO));
    assert!(reading.mean_in_flight.abs() < 1e-9, "{reading:?}");
}
