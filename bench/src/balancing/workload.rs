//! The unequal servers that requests are spread over.

use std::time::Duration;

use clap::ValueEnum;

/// What one server works on at once.
const SLOTS: u32 = 4;
/// Mean of its service times, before it is slowed. They are normal with half of that as deviation, cut off at 0:
/// with a heavier tail, the longest requests would hide in p99 what the picks do to the others.
const SERVICE: Duration = Duration::from_millis(20);
/// Share of the servers' capacity that is offered: high enough that a bad pick waits, low enough that a good
/// balancer keeps every request from waiting long.
const LOAD: f64 = 0.65;

/// A set of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Workload {
    /// Eight alike.
    Uniform,
    /// Four at full speed, four at half, and one that takes ten times as long.
    MixedSpeed,
    /// Eight; each of them takes four times as long in a quarter of the time, in spells of three seconds.
    Antagonist,
    /// Eight, and one that accepts and never answers.
    Hung,
    /// Eight, and one that answers 503 at once and reports nothing.
    Sinkhole,
}

/// One server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Server {
    /// Takes so many times as long as the fast ones.
    pub(crate) slow: f64,
    /// What else is the matter with it.
    pub(crate) trouble: Trouble,
}

/// What may be the matter with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// Somebody else uses its machine now and then.
    Antagonist,
    /// It never answers.
    Hung,
    /// It fails at once.
    Sinkhole,
}

/// Length of an antagonist's spell, its share of the time, and its factor.
const SPELL: (&str, f64, f64) = ("3s", 0.25, 4.0);

impl Workload {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 5] = [
        Self::Uniform,
        Self::MixedSpeed,
        Self::Antagonist,
        Self::Hung,
        Self::Sinkhole,
    ];

    /// The name in tables, JSON and options.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::MixedSpeed => "mixed-speed",
            Self::Antagonist => "antagonist",
            Self::Hung => "hung",
            Self::Sinkhole => "sinkhole",
        }
    }

    /// What it is, for a chart's reader.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Uniform => "8 servers alike",
            Self::MixedSpeed => "4 fast, 4 at half speed, 1 ten times slower",
            Self::Antagonist => "8, each 4× slower in spells",
            Self::Hung => "8, and one that never answers",
            Self::Sinkhole => "8, and one that fails at once",
        }
    }

    /// The servers.
    pub(crate) fn servers(self) -> Vec<Server> {
        let server = |slow, trouble| Server { slow, trouble };
        let fast = server(1.0, Trouble::None);
        match self {
            Self::Uniform => vec![fast; 8],
            Self::MixedSpeed => {
                let mut servers = vec![fast; 4];
                servers.extend([server(2.0, Trouble::None); 4]);
                servers.push(server(10.0, Trouble::None));
                servers
            }
            Self::Antagonist => vec![server(1.0, Trouble::Antagonist); 8],
            Self::Hung | Self::Sinkhole => {
                let trouble = if self == Self::Hung {
                    Trouble::Hung
                } else {
                    Trouble::Sinkhole
                };
                let mut servers = vec![fast; 8];
                servers.push(server(1.0, trouble));
                servers
            }
        }
    }

    /// Requests per second that are offered.
    pub(crate) fn rate_per_s(self) -> f64 {
        LOAD * self
            .servers()
            .iter()
            .map(|server| server.capacity_per_s())
            .sum::<f64>()
    }

    /// At most this share of the best peer's p99 is what dalbi sets itself.
    pub(crate) fn goal(self) -> f64 {
        match self {
            Self::Uniform => 1.0,
            _ => 0.5,
        }
    }
}

impl Server {
    /// Requests per second that it can answer on average.
    fn capacity_per_s(&self) -> f64 {
        let full = f64::from(SLOTS) / SERVICE.as_secs_f64() / self.slow;
        match self.trouble {
            Trouble::None => full,
            Trouble::Antagonist => full * (1.0 - SPELL.1 + SPELL.1 / SPELL.2),
            Trouble::Hung | Trouble::Sinkhole => 0.0,
        }
    }

    /// `dalbi upstream` with these arguments is the server. Its answers have 1 KiB, and carry a load report unless
    /// it fails all of them.
    pub(crate) fn arguments(&self, port: u16, seed: u64) -> Vec<String> {
        let service_ms = SERVICE.as_millis();
        let mut arguments = vec![
            "upstream".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--latency=normal:{service_ms}ms,{}ms", service_ms / 2),
            format!("--concurrency={SLOTS}"),
            "--body-size=1KiB".to_owned(),
            format!("--slow={}x", self.slow),
            format!("--seed={seed}"),
        ];
        match self.trouble {
            Trouble::None => {}
            Trouble::Antagonist => {
                let (spell, share, factor) = SPELL;
                arguments.push(format!("--antagonist={spell}:{share}:{factor}x"));
            }
            Trouble::Hung => arguments.push("--hang-rate=1".to_owned()),
            Trouble::Sinkhole => {
                arguments.extend(["--error-rate=1".to_owned(), "--report=none".to_owned()]);
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cores_suffice() {
        for workload in Workload::ALL {
            assert_eq!(Workload::from_str(workload.name(), false), Ok(workload));
            let rate = workload.rate_per_s();
            assert!(
                (500.0..1500.0).contains(&rate),
                "{}: {rate}",
                workload.name()
            );
        }
    }

    #[test]
    fn servers_are_slow_as_the_workload_says() {
        let servers = Workload::MixedSpeed.servers();
        assert_eq!(servers.len(), 9);
        assert_eq!(
            servers.iter().filter(|server| server.slow == 2.0).count(),
            4
        );
        let arguments = servers[8].arguments(9000, 7).join(" ");
        assert!(arguments.contains("--slow=10x --seed=7"), "{arguments}");
    }
}
