//! Waking up to the microsecond: `epoll_wait` counts in milliseconds, a timerfd in nanoseconds.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// One deadline at a time.
pub(crate) struct Timer {
    fd: TimerFd,
    armed_ns: u64,
}

impl Timer {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        registry.register(&mut SourceFd(&fd.as_fd().as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { fd, armed_ns: 0 })
    }

    /// Makes the poll return at `deadline_ns`, `now_ns` being now on the same clock.
    pub(crate) fn arm(&mut self, deadline_ns: u64, now_ns: u64) -> io::Result<()> {
        if self.armed_ns != deadline_ns {
            // Zero would disarm it.
            let after = Duration::from_nanos(deadline_ns.saturating_sub(now_ns).max(1));
            self.fd.set(Expiration::OneShot(after.into()), TimerSetTimeFlags::empty())?;
            self.armed_ns = deadline_ns;
        }
        Ok(())
    }
}
