//! The only place here that reads a clock.

use std::time::Instant;

#[inline]
#[expect(clippy::disallowed_methods, reason = "whoever measures time reads a clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
