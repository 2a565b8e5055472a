//! Waking up to the microsecond: `epoll_wait` counts in milliseconds, a timerfd in nanoseconds.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// No deadline.
const NEVER: u64 = u64::MAX;

/// One deadline at a time.
pub(crate) struct Timer {
    fd: TimerFd,
    armed_ns: u64,
}

impl Timer {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer = Self::unwatched()?;
        registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
        Ok(timer)
    }

    /// A timer that no poll knows yet.
    pub(crate) fn unwatched() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self { fd: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, armed_ns: NEVER })
    }

    /// Whether there is a deadline, or one has passed since it was last armed.
    pub(crate) fn is_armed(&self) -> bool {
        self.armed_ns != NEVER
    }

    /// Makes the poll return at `deadline_ns`, `now_ns` being now on the same clock; `u64::MAX` is never.
    pub(crate) fn arm(&mut self, deadline_ns: u64, now_ns: u64) -> io::Result<()> {
        if deadline_ns == NEVER {
            self.fd.unset()?;
        } else if self.armed_ns != deadline_ns {
            // Zero would disarm it.
            let after = Duration::from_nanos(deadline_ns.saturating_sub(now_ns).max(1));
            self.fd.set(Expiration::OneShot(after.into()), TimerSetTimeFlags::empty())?;
        }
        self.armed_ns = deadline_ns;
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
