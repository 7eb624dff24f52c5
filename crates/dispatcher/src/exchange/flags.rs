//! Why an answer is what it is, in Envoy's words.

use std::fmt;

/// Envoy's response flags, as access logs, metrics and `x-dalbi-response-flags` show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Flags(u16);

macro_rules! flags {
    ($($name:ident $bit:literal $text:literal $doc:literal;)*) => {
        impl Flags {
            $(#[doc = $doc] pub(crate) const $name: Self = Self(1 << $bit);)*
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, $text)),*];
        }
    };
}

flags! {
    NO_ROUTE 0 "NR" "No route matched.";
    NO_CLUSTER 1 "NC" "The route names a cluster that does not exist.";
    NO_HEALTHY_UPSTREAM 2 "UH" "No endpoint may be used.";
    UPSTREAM_CONNECT_FAILURE 3 "UF" "Connecting failed.";
    UPSTREAM_OVERFLOW 4 "UO" "A circuit breaker is open.";
    UPSTREAM_TIMEOUT 5 "UT" "No answer in time.";
    RETRY_LIMIT_EXCEEDED 6 "URX" "Every try that was allowed failed.";
    UPSTREAM_TERMINATION 7 "UC" "The endpoint closed the connection.";
    UPSTREAM_RESET 8 "UR" "The endpoint reset the stream.";
    UPSTREAM_PROTOCOL_ERROR 9 "UPE" "The endpoint's answer was not HTTP.";
    DOWNSTREAM_TERMINATION 10 "DC" "The client went away.";
    DOWNSTREAM_PROTOCOL_ERROR 11 "DPE" "The client's request was not HTTP.";
    STREAM_IDLE_TIMEOUT 12 "SI" "Nothing moved for too long.";
    DELAY_INJECTED 13 "DI" "A fault held the request up.";
    FAULT_INJECTED 14 "FI" "A fault failed the request.";
}

impl Flags {
    /// No flag.
    pub(crate) const NONE: Self = Self(0);

    /// Whether no flag is set.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every flag of `other` is set.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Flags {
    /// `-` for none, else the names with commas, as in Envoy's access log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        let mut separator = "";
        for (flag, name) in Self::NAMES {
            if self.contains(*flag) {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    #[test]
    fn flags_read_as_in_envoys_log() {
        assert_eq!(Flags::NONE.to_string(), "-");
        assert_eq!(Flags::NO_HEALTHY_UPSTREAM.to_string(), "UH");
        let both = Flags::UPSTREAM_CONNECT_FAILURE | Flags::RETRY_LIMIT_EXCEEDED;
        assert_eq!(both.to_string(), "UF,URX");
    }
}
