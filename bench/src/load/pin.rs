//! Which core a thread runs on.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Lets the thread that was pinned run where it ran before, when it goes out of scope.
#[derive(Debug)]
pub struct Pinned(CpuSet);

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed there before.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}

/// Keeps the calling thread on one core for as long as what is returned lives.
///
/// # Errors
/// As [`pin`].
pub fn pinned(core: usize) -> io::Result<Pinned> {
    let before = sched_getaffinity(Pid::from_raw(0))?;
    pin(core).map(|()| Pinned(before))
}

/// Keeps the calling thread, and those that it starts from now on, on one core.
///
/// # Errors
/// When there is no such core, or it is not ours to use; says so.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    // Process 0 is the calling thread (`sched_setaffinity(2)`).
    set.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).map_err(|errno| {
        io::Error::new(io::Error::from(errno).kind(), format!("core {core} cannot be used: {}", errno.desc()))
    })
}
