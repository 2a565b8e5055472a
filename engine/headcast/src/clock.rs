//! The only place in the libraries that reads a clock.

use std::time::{Duration, Instant};

use headcast_proto::Now;
use nix::time::{ClockId, clock_gettime};

/// Both clocks. Read without the standard library's types, whose differences cost more than the reading.
#[inline]
pub fn now() -> Now {
    Now { mono_ns: mono_ns(), unix_ns: unix_ns() }
}

/// Nanoseconds on the monotonic clock, from an origin that is the machine's.
#[inline]
pub fn mono_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Nanoseconds since the Unix epoch.
#[inline]
pub fn unix_ns() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// The monotonic clock for the control thread, whose parts speak in the standard library's types.
#[expect(clippy::disallowed_methods, reason = "this is the edge where time is read")]
pub fn instant() -> Instant {
    Instant::now()
}

/// A u64 holds 584 years of nanoseconds. The kernel has both clocks, so reading them does not fail, and
/// neither is before its epoch, so both parts are positive.
#[inline]
fn read(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else { return 0 };
    time.tv_sec().cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec().cast_unsigned())
}

/// A duration in nanoseconds, at most `u64::MAX`.
#[inline]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
