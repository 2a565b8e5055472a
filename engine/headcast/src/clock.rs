//! The only place in the library that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headcast_proto::Now;

/// Monotonic time since it was made, and the wall clock's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the edge where time is read")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    #[inline]
    pub(crate) fn now(&self) -> Now {
        Now { mono_ns: self.mono_ns(), unix_ns: unix_ns() }
    }

    /// Nanoseconds on the monotonic clock; a u64 holds 584 years of them.
    #[inline]
    pub(crate) fn mono_ns(&self) -> u64 {
        nanos(self.instant().saturating_duration_since(self.origin))
    }

    #[inline]
    #[expect(clippy::disallowed_methods, reason = "this is the edge where time is read")]
    pub(crate) fn instant(&self) -> Instant {
        Instant::now()
    }

    /// `instant` on the same scale as [`mono_ns`](Self::mono_ns).
    pub(crate) fn ns_of(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.origin))
    }
}

/// Nanoseconds since the Unix epoch.
#[inline]
#[expect(clippy::disallowed_methods, reason = "this is the edge where time is read")]
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos)
}

/// A duration in nanoseconds, at most `u64::MAX`.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
