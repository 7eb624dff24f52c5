//! CPU time and memory as `/proc` tells them.

use anyhow::{Context, Result, bail};

/// CPU time used so far, in clock ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    process: u64,
    core_busy: u64,
    core_steal: u64,
    core_total: u64,
}

/// What happened between two readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Used {
    /// User and system time of all of the process's threads, in microseconds.
    pub(crate) process_us: f64,
    /// Share of the core taken by other processes, or by other machines (steal), 0 to 1.
    pub(crate) others_share: f64,
}

impl Reading {
    /// Reads a process and the core that it is pinned to.
    pub(crate) fn now(pid: u32, core: usize) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("reading the CPU time of process {pid}; has it ended?"))?;
        let cores = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        let process = process_ticks(&stat).context("unexpected format of /proc/PID/stat")?;
        let [busy, steal, total] = core_ticks(&cores, core)
            .with_context(|| format!("no line for core {core} in /proc/stat"))?;
        Ok(Self {
            process,
            core_busy: busy,
            core_steal: steal,
            core_total: total,
        })
    }

    /// The time used between `earlier` and this reading.
    pub(crate) fn since(&self, earlier: &Self) -> Used {
        let own = self.process.saturating_sub(earlier.process);
        let busy = self.core_busy.saturating_sub(earlier.core_busy);
        let steal = self.core_steal.saturating_sub(earlier.core_steal);
        let total = self.core_total.saturating_sub(earlier.core_total).max(1);
        let others = busy.saturating_sub(own) + steal;
        Used {
            process_us: own as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64,
            others_share: others as f64 / total as f64,
        }
    }
}

/// `utime + stime` of the whole process, threads that have ended included.
fn process_ticks(stat: &str) -> Option<u64> {
    // The name may hold spaces and parentheses; the numbers start after its last one.
    let mut fields = stat[stat.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Busy (user, nice, system), stolen and all ticks of one core. Interrupt time is left out of
/// busy: it belongs to no process, and most of it is the measured proxy's own traffic.
fn core_ticks(stat: &str, core: usize) -> Option<[u64; 3]> {
    let prefix = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&prefix))?;
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let [
        user,
        nice,
        system,
        _idle,
        _iowait,
        _irq,
        _softirq,
        steal,
        ..,
    ] = ticks[..]
    else {
        return None;
    };
    Some([user + nice + system, steal, ticks[..8].iter().sum()])
}

/// Resident memory of a process in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("reading the memory of process {pid}; has it ended?"))?;
    match parse_resident(&status) {
        Some(bytes) => Ok(bytes),
        None => bail!("no VmRSS in /proc/{pid}/status; has the process ended?"),
    }
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_ticks_survive_an_odd_name() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 17 25 3 4 20 0 2 0 99 1 1";
        assert_eq!(process_ticks(stat), Some(42));
    }

    #[test]
    fn core_ticks_take_the_named_core() {
        let stat =
            "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu10 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(core_ticks(stat, 0), Some([6, 8, 36]));
        assert_eq!(core_ticks(stat, 10), Some([3, 1, 8]));
        assert_eq!(core_ticks(stat, 1), None);
    }

    #[test]
    fn others_are_what_the_process_did_not_use() {
        let before = Reading {
            process: 100,
            core_busy: 1000,
            core_steal: 0,
            core_total: 5000,
        };
        let after = Reading {
            process: 150,
            core_busy: 1080,
            core_steal: 10,
            core_total: 5100,
        };
        let used = after.since(&before);
        assert!((used.others_share - 0.4).abs() < 1e-9, "{used:?}");
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert!(
            (used.process_us - 50.0 * 1e6 / ticks).abs() < 1e-6,
            "{used:?}"
        );
    }

    #[test]
    fn resident_memory_is_in_kib() {
        assert_eq!(
            parse_resident("Name:\tx\nVmRSS:\t     512 kB\n"),
            Some(512 * 1024)
        );
        assert_eq!(parse_resident("Name:\tx\n"), None);
    }
}
