//! Parts of a mesh in a few words each, for every command that shows them: the same thing is called the same
//! everywhere, and where the words are the same there is no difference to tell.

mod cluster;
mod listener;
mod matching;
mod route;

use std::time::Duration;

pub(crate) use cluster::{balancing, cluster_settings, endpoint_address, outlier_detection};
pub(crate) use listener::listener_settings;
pub(crate) use matching::conditions;
pub(crate) use route::{
    cors, destination, destination_filters, direct_response, fault, headers, redirect,
    retry_conditions, rewrite, route_settings, shares,
};

/// `1.5s`, `250ms`: the shorter way to write it.
pub(crate) fn duration(duration: Duration) -> String {
    if duration.is_zero() {
        "0s".to_owned()
    } else if duration < Duration::from_secs(1) {
        format!("{}ms", duration.as_secs_f64() * 1e3)
    } else {
        format!("{}s", duration.as_secs_f64())
    }
}

/// A time that may have no end.
pub(crate) fn limit(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "none".to_owned(), duration)
}

/// `12.5%`, to two places.
pub(crate) fn percent(percent: f64) -> String {
    let text = format!("{percent:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(percent(100.0), "100%");
        assert_eq!(percent(100.0 / 3.0), "33.33%");
        assert_eq!(percent(0.5), "0.5%");
        assert_eq!(duration(Duration::from_millis(1500)), "1.5s");
        assert_eq!(duration(Duration::from_micros(2500)), "2.5ms");
        assert_eq!(limit(None), "none");
    }
}
