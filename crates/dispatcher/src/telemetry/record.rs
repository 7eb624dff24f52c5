//! One request's facts, gathered on the way and told exactly once, however it ends.

use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::access_log::Log;
use super::metrics::{RequestOutcome, ServiceMetrics};
use crate::exchange::flags::Flags;
use crate::options::AccessLogFormat;

/// Counts and logs its request when dropped, so that a cancelled request is told of too.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) started: Instant,
    /// When its own time began: later than `started` if a fault held it up.
    pub(crate) begun: Instant,
    /// How long a fault holds it up before anything else.
    pub(crate) delay: Option<Duration>,
    /// 0 until an answer has begun.
    pub(crate) status: u16,
    pub(crate) flags: Flags,
    /// It is a whole connection, in which no requests are known.
    is_connection: bool,
    pub(crate) is_grpc: bool,
    pub(crate) grpc: Option<u8>,
    pub(crate) attempts: u32,
    /// When the newest answer began.
    pub(crate) answered: Option<Instant>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Whose request it was, once routed.
    pub(crate) metrics: Rc<ServiceMetrics>,
    /// Only gathered where there is a log.
    pub(crate) line: Option<Box<Line>>,
}

/// What only the access log wants to know.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) log: Log,
    /// Drawn for this request: log it even if all goes well.
    pub(crate) sampled: bool,
    pub(crate) peer: String,
    pub(crate) method: String,
    pub(crate) authority: String,
    /// What TLS says of a connection whose bytes go on as they are.
    pub(crate) server_name: Option<String>,
    pub(crate) path: String,
    pub(crate) protocol: &'static str,
    pub(crate) user_agent: String,
    pub(crate) route: String,
    pub(crate) cluster: String,
    pub(crate) upstream: String,
    /// Why no endpoint answered; empty when one did.
    pub(crate) failure: String,
    /// The shown id of the generation that served it; empty where there is none.
    pub(crate) generation: Arc<str>,
}

impl Record {
    pub(crate) fn new(started: Instant, metrics: Rc<ServiceMetrics>) -> Self {
        Self {
            started,
            begun: started,
            delay: None,
            status: 0,
            flags: Flags::NONE,
            is_connection: false,
            is_grpc: false,
            grpc: None,
            attempts: 0,
            answered: None,
            bytes_received: 0,
            bytes_sent: 0,
            metrics,
            line: None,
        }
    }

    /// Of a connection whose bytes go on as they are.
    pub(crate) fn of_connection(started: Instant, metrics: Rc<ServiceMetrics>) -> Self {
        let mut record = Self::new(started, metrics);
        record.is_connection = true;
        record
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let unanswered = self.status == 0 && !self.is_connection;
        if unanswered && Flags::DELAY_INJECTED.contains(self.flags) {
            self.flags |= Flags::DOWNSTREAM_TERMINATION;
        }
        let duration = self.started.elapsed();
        let outcome = RequestOutcome {
            status: self.status,
            flags: self.flags,
            grpc: self.grpc,
            is_grpc: self.is_grpc,
        };
        let latency = self.answered.map(|answered| answered - self.started);
        if self.is_connection {
            if latency.is_none() {
                self.metrics.connection_made(false);
            }
            self.metrics.connection_closed(self.flags);
        } else {
            self.metrics.count(outcome, duration, latency);
        }
        if let Some(line) = &self.line
            && (line.sampled || self.status >= 500 || !self.flags.is_empty())
        {
            line.log.write(match line.log.format {
                AccessLogFormat::Text => self.text(line, duration),
                AccessLogFormat::Json => self.json(line, duration),
            });
        }
    }
}

impl Record {
    /// In the order of Envoy's default format, with the generation at the end.
    fn text(&self, line: &Line, duration: Duration) -> String {
        format!(
            "[{}] \"{} {} {}\" {} {} {} {} {} {} \"{}\" \"{}\" \"{}\" {} \"{}\" {}\n",
            timestamp(SystemTime::now()),
            line.method,
            escaped(&line.path),
            line.protocol,
            self.status,
            self.flags,
            self.bytes_received,
            self.bytes_sent,
            duration.as_millis(),
            line.peer,
            escaped(&line.user_agent),
            escaped(line.server_name.as_ref().unwrap_or(&line.authority)),
            line.upstream,
            line.cluster,
            line.route,
            dash_if_empty(&line.generation),
        )
    }

    /// With the names of Istio's JSON access log.
    fn json(&self, line: &Line, duration: Duration) -> String {
        let mut text = serde_json::json!({
            "start_time": timestamp(SystemTime::now() - duration),
            "method": line.method,
            "path": line.path,
            "protocol": line.protocol,
            "response_code": self.status,
            "response_flags": self.flags.to_string(),
            "grpc_status": self.grpc,
            "bytes_received": self.bytes_received,
            "bytes_sent": self.bytes_sent,
            "duration": duration.as_secs_f64() * 1e3,
            "upstream_request_attempt_count": self.attempts,
            "downstream_remote_address": line.peer,
            "user_agent": line.user_agent,
            "authority": line.authority,
            "requested_server_name": line.server_name,
            "upstream_host": line.upstream,
            "upstream_transport_failure_reason": line.failure,
            "upstream_cluster": line.cluster,
            "route_name": line.route,
            "generation": &*line.generation,
        })
        .to_string();
        text.push('\n');
        text
    }
}

fn dash_if_empty(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// A client's text must not be able to end a line or a quoted part of it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            character if character.is_control() => {
                write!(out, "\\x{:02x}", u32::from(character)).expect("a string takes all");
            }
            character => out.push(character),
        }
    }
    out
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(time: SystemTime) -> String {
    let passed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (passed.as_secs() / 86_400, passed.as_secs() % 86_400);
    // Howard Hinnant's `civil_from_days`, for dates after 1970.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        passed.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_millis(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(at(1_795_219_199_999), "2026-11-20T23:59:59.999Z");
    }

    #[test]
    fn a_path_can_not_forge_a_line() {
        assert_eq!(escaped("/a\"\r\n[x]"), "/a\\\"\\x0d\\x0a[x]");
    }
}
