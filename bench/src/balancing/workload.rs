//! The unequal servers that requests are spread over.

use std::time::Duration;

use clap::ValueEnum;

use super::DEADLINE;

/// What one server works on at once.
const SLOTS: u32 = 4;
/// Mean of its service times, before it is slowed. They are normal with a deviation as large as the mean, truncated
/// at 0, as in Prequal's runs (section 5).
const SERVICE: Duration = Duration::from_millis(20);
/// Truncating a normal distribution at 0 raises its mean by this, where mean and deviation are alike.
const TRUNCATION: f64 = 1.287_60;

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

/// Length of an antagonist's spell in seconds, its share of the time, and its factor.
const SPELL: (u32, f64, f64) = (3, 0.25, 4.0);

/// How long the simulator measures antagonists: long enough that one spell a server is their share of the time.
const SPELLS_S: u32 = 9;

/// Antagonists' spells for the simulator, whose own antagonists take processor time, which a request that is alone
/// there does not feel. A group of servers has one spell, so there are several draws of when each has its.
fn spells(servers: usize) -> String {
    const DRAWS: u32 = 8;
    let (spell_s, share, factor) = SPELL;
    let mut rng = fastrand::Rng::with_seed(1);
    let mut variants = String::new();
    for draw in 1..=DRAWS {
        variants.push_str(&format!("\n[[variant]]\nname = \"draw-{draw}\"\n"));
        for _ in 0..servers {
            // A spell that began this long before the end, or before the start, is in its share of all moments.
            let from_s = f64::from(SPELLS_S) - rng.f64() * f64::from(spell_s) / share;
            variants.push_str(&format!(
                "[[variant.group]]\ncount = 1\nslowdown = {factor}\nfrom_s = {from_s:.2}\nuntil_s = {:.2}\n",
                from_s + f64::from(spell_s)
            ));
        }
    }
    variants
}

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

    /// Requests per second that are offered, if that is this share of what the servers can do.
    pub(crate) fn rate_per_s(self, load: f64) -> f64 {
        load * self
            .servers()
            .iter()
            .map(|server| server.capacity_per_s())
            .sum::<f64>()
    }

    /// The same as a scenario of `dalbi sim`.
    pub(crate) fn scenario(self, load: f64) -> String {
        let servers = self.servers();
        // The simulator counts the capacity of sick servers, too.
        let all_per_s: f64 = servers.len() as f64 * f64::from(SLOTS) / SERVICE.as_secs_f64();
        let mut scenario = format!(
            "\
about = \"bench balancing: {}\"
load = {:.4}
warm_up_s = 2
measured_s = {}
stretch = false
deadline_ms = {}

[work]
mean_ms = {}
law = \"normal\"

[server]
cores = {SLOTS}
concurrency = {SLOTS}
queue = 100000

[network]
one_way_ms = 0.05
",
            self.title(),
            self.rate_per_s(load) / all_per_s,
            if self == Self::Antagonist {
                SPELLS_S
            } else {
                60
            },
            DEADLINE.as_millis(),
            SERVICE.as_millis(),
        );
        for server in servers {
            let trouble = match server.trouble {
                Trouble::None if server.slow != 1.0 => format!("slowdown = {}", server.slow),
                Trouble::Hung => "state = \"hung\"".to_owned(),
                Trouble::Sinkhole => "failing = 1\nfailing_reports = \"none\"".to_owned(),
                Trouble::None | Trouble::Antagonist => continue,
            };
            scenario.push_str(&format!("\n[[group]]\ncount = 1\n{trouble}\n"));
        }
        if self == Self::Antagonist {
            scenario.push_str(&spells(self.servers().len()));
        }
        scenario
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
        let service_ms = SERVICE.as_secs_f64() * 1e3 / TRUNCATION;
        let mut arguments = vec![
            "upstream".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--latency=normal:{service_ms:.3}ms,{service_ms:.3}ms"),
            format!("--concurrency={SLOTS}"),
            "--body-size=1KiB".to_owned(),
            format!("--slow={}x", self.slow),
            format!("--seed={seed}"),
        ];
        match self.trouble {
            Trouble::None => {}
            Trouble::Antagonist => {
                let (spell, share, factor) = SPELL;
                arguments.push(format!("--antagonist={spell}s:{share}:{factor}x"));
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
            let rate = workload.rate_per_s(0.65);
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
        let scenario = Workload::MixedSpeed.scenario(0.65);
        assert_eq!(scenario.matches("slowdown = 2").count(), 4, "{scenario}");
        // 793 of 1800 requests a second.
        assert!(scenario.contains("\nload = 0.4406\n"), "{scenario}");
    }
}
