//! Which core a thread runs on.

use std::io;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Keeps the calling thread on one core.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    // Process 0 is the calling thread (`sched_setaffinity(2)`).
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
