//! What `/metrics` says, whichever generation it says it of.

use super::{Dalbi, http};

/// The page without the label `generation`, which differs from run to run.
pub async fn metrics(dalbi: &Dalbi) -> String {
    let page = http::get(dalbi.admin(), "/metrics").await;
    let mut out = String::new();
    for line in page.text().lines() {
        out.push_str(&without_generation(line));
        out.push('\n');
    }
    out
}

fn without_generation(line: &str) -> String {
    let Some((name, labels)) = line.split_once("{generation=\"") else {
        return line.to_owned();
    };
    let (_, rest) = labels.split_once('"').expect("a label's value ends");
    match rest.strip_prefix(',') {
        Some(others) => format!("{name}{{{others}"),
        None => format!(
            "{name}{}",
            rest.strip_prefix('}').expect("it was the only label")
        ),
    }
}
