use super::*;

fn error(text: &str) -> String {
    decode("mine", text).unwrap_err().to_string()
}

#[test]
fn a_small_file_is_enough() {
    let scenarios = decode("mine", "about = 'x'\nload = 0.5").unwrap();
    assert_eq!(scenarios.len(), 1);
    let scenario = &scenarios[0];
    assert_eq!(scenario.name, "mine");
    assert_eq!(scenario.server, ServerModel::default());
    let size = "10x3".parse().unwrap();
    assert_eq!(scenario.size(size), size);
    assert!((scenario.measured_s(100) - 20.0).abs() < 1e-9);
    assert!((scenario.measured_s(1000) - 20.0).abs() < 1e-9);
    assert!((scenario.measured_s(25) - 40.0).abs() < 1e-9);
}

#[test]
fn variants_are_laid_over_the_base() {
    let scenarios = decode(
        "mine",
        "about = 'x'
        load = 0.5
        [server]
        cores = 2
        queue = 7
        [[group]]
        count = 1
        slowdown = 2
        [[variant]]
        name = 'a'
        load = 0.7
        [variant.server]
        cores = 8
        [[variant]]
        name = 'b'
        dispatchers = 9
        [[variant.group]]
        share = 0.5
        failing = 1",
    )
    .unwrap();
    let [a, b] = &scenarios[..] else {
        panic!("{scenarios:?}");
    };
    assert_eq!(
        (a.name.as_str(), a.load, a.server.cores, a.server.queue),
        ("mine/a", 0.7, 8.0, 7)
    );
    assert_eq!(a.group[0].slowdown, Some(2.0));
    assert_eq!(
        (b.name.as_str(), b.load, b.server.cores),
        ("mine/b", 0.5, 2.0)
    );
    assert_eq!(
        (b.group.len(), b.group[0].slowdown, b.group[0].share),
        (1, None, Some(0.5))
    );
    assert_eq!(b.size("10x3".parse().unwrap()).dispatchers, 9);
}

#[test]
fn what_is_not_understood_is_named_with_its_line() {
    let unknown = error("about = 'x'\nload = 0.5\nlaod = 3\n");
    assert!(
        unknown.contains("mine.toml") && unknown.contains("line 3"),
        "{unknown}"
    );
    assert!(unknown.contains("laod"), "{unknown}");
    let nested = error("about = 'x'\nload = 0.5\n[server]\ncore = 3\n");
    assert!(
        nested.contains("line 4") && nested.contains("core"),
        "{nested}"
    );
    let variant = error("about = 'x'\nload = 0.5\n\n[[variant]]\nname = 'a'\nlaod = 3\n");
    assert!(
        variant.contains("variant `a`") && variant.contains("laod"),
        "{variant}"
    );
    assert!(variant.contains("line 4"), "{variant}");
    assert!(error("about = 'x'\n").contains("load"));
    assert!(error("about = 'x'\nload = 1\n[work]\nlaw = 'zipf'").contains("zipf"));
    assert!(error("about = 'x'\nload = 1\n[[variant]]\nload = 2").contains("name"));
    assert!(error("about = ").contains("line 1"));
}

#[test]
fn values_out_of_range_are_named_with_what_is_allowed() {
    for (text, field) in [
        ("load = 0", "load"),
        ("load = 1\ndeadline_ms = 0", "deadline_ms"),
        ("load = 1\nserver = { cores = -1 }", "server.cores"),
        ("load = 1\ngroup = [{ slowdown = 2 }]", "group"),
        ("load = 1\ngroup = [{ share = 2 }]", "group.share"),
        (
            "load = 1\nantagonists = { share = 1, state_s = 1 }",
            "antagonists.share",
        ),
        (
            "load = 1\narrivals = { zone_shares = [1, 1] }",
            "arrivals.zone_shares",
        ),
        ("load = 1\nreports = { lost = 1.5 }", "reports.lost"),
        (
            "load = 1\nchange = [{ at_s = 1, leave = 1 }]",
            "change.leave",
        ),
        ("load = nan", "load"),
    ] {
        let error = error(&format!("about = 'x'\n{text}"));
        assert!(error.contains(&format!("`{field}` is")), "{text}: {error}");
    }
}

#[test]
fn sizes_are_read_and_shown() {
    let size: Size = "100x30".parse().unwrap();
    assert_eq!((size.servers, size.dispatchers), (100, 30));
    assert_eq!(size.to_string(), "100x30");
    for wrong in ["100", "0x3", "3x", "axb", "100000x1", "1x1x1"] {
        assert!(wrong.parse::<Size>().is_err(), "{wrong}");
    }
}
