//! Which core runs the proxy and which one runs everything else.

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two cores of a run, as the kernel numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cores {
    /// Runs the measured proxy and nothing else of ours.
    pub(crate) proxy: usize,
    /// Runs the load generator, the upstream and this program.
    pub(crate) load: usize,
}

impl Cores {
    /// The first two cores this process may use.
    pub(crate) fn allowed() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("reading the allowed cores")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let (Some(proxy), Some(load)) = (cores.next(), cores.next()) else {
            bail!("this run needs two cores, one is allowed; widen the cpuset or affinity mask");
        };
        Ok(Self { proxy, load })
    }
}

/// Confines the calling thread, and what it spawns from now on, to one core.
pub(crate) fn pin_to(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("pinning to core {core}"))
}
