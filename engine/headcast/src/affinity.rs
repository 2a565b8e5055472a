//! Which core a thread runs on.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Whether the calling thread may run on a core.
pub(crate) fn allowed(core: usize) -> bool {
    sched_getaffinity(Pid::from_raw(0)).and_then(|set| set.is_set(core)).unwrap_or(false)
}

/// Keeps the calling thread on one core.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    // Process 0 is the calling thread (`sched_setaffinity(2)`).
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
