//! Rows for people: one table per scenario and size, means over seeds.

use std::fmt::Write;

use sim::{Figures, Row};

/// Tables for all rows, in their order.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let worlds = rows.chunk_by(|a, b| world(a) == world(b));
    for rows in worlds {
        let first = &rows[0];
        let (servers, dispatchers) = (first.servers, first.dispatchers);
        let seeds = rows
            .chunk_by(|a, b| a.policy == b.policy)
            .next()
            .map_or(0, <[Row]>::len);
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{}  {servers} servers, {dispatchers} dispatchers, load {}, {seeds} {}",
            first.scenario,
            first.load,
            if seeds == 1 { "seed" } else { "seeds" }
        );
        let _written = writeln!(text, "{HEAD}");
        let oracle = mean(rows.iter().filter(|row| row.policy == "oracle"), |f| {
            f.mean_ms
        });
        for rows in rows.chunk_by(|a, b| a.policy == b.policy) {
            text.push_str(&line(rows, oracle));
        }
        text.push('\n');
    }
    text
}

const HEAD: &str = "  policy              p50 ms   p99 ms p99.9 ms  errors   goodput/s  Jain  anarchy  \
                    in-flight σ  remote  probes  bytes";

fn world(row: &Row) -> (&str, u32, u32) {
    (&row.scenario, row.servers, row.dispatchers)
}

fn mean<'a>(rows: impl Iterator<Item = &'a Row>, of: impl Fn(&Figures) -> f64) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0.0);
    for row in rows {
        sum += of(&row.figures);
        n += 1.0;
    }
    (n > 0.0).then(|| sum / n)
}

fn line(rows: &[Row], oracle_ms: Option<f64>) -> String {
    let of = |figure: fn(&Figures) -> f64| mean(rows.iter(), figure).unwrap_or(f64::NAN);
    let anarchy = oracle_ms.map_or("–".to_owned(), |oracle_ms| {
        format!("{:.3}", of(|figures| figures.mean_ms) / oracle_ms)
    });
    format!(
        "  {:<18} {:>7.2} {:>8.2} {:>8.2} {:>6.3}% {:>11.1} {:>5.3} {:>8} {:>12.2} {:>6.1}% {:>7.3} {:>6.0}\n",
        rows[0].policy,
        of(|figures| figures.p50_ms),
        of(|figures| figures.p99_ms),
        of(|figures| figures.p999_ms),
        of(|figures| figures.error_rate) * 100.0,
        of(|figures| figures.goodput_per_s),
        of(|figures| figures.jain),
        anarchy,
        of(|figures| figures.in_flight_deviation),
        of(|figures| figures.remote_share) * 100.0,
        of(|figures| figures.probes_per_request),
        of(|figures| figures.bytes_per_request),
    )
}
