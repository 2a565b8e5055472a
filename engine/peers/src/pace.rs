//! When to ask DNS again.

use std::{hash::BuildHasher, hash::RandomState, time::Duration};

use crate::Limits;

/// After an answer that may be used for `ttl`: a little earlier than it expires, within the limits.
pub(crate) fn after_answer(limits: &Limits, ttl: Duration) -> Duration {
    let wanted = ttl.mul_f64(0.9).min(limits.refresh_max).max(limits.refresh_min);
    jittered(wanted).max(limits.refresh_min)
}

/// After the n-th failure in a row, n from 1.
pub(crate) fn after_failure(limits: &Limits, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let wanted =
        limits.retry_min.saturating_mul(1 << doublings).min(limits.refresh_max).max(limits.retry_min);
    jittered(wanted).max(limits.retry_min)
}

/// Up to 10 % more or less, so that many publishers do not ask in step. Maxima may be passed by it, minima
/// not.
fn jittered(wanted: Duration) -> Duration {
    // A hash with keys that the standard library draws by chance: no generator to seed, and good enough for
    // this.
    let chance = RandomState::new().hash_one(0) % 2001;
    #[expect(clippy::cast_precision_loss, reason = "at most 2000")]
    wanted.mul_f64(0.9 + chance as f64 / 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_answer_is_refreshed_before_it_expires_within_the_limits_and_never_too_soon() {
        let limits = Limits::default();
        for (ttl, least, most) in
            [(0, 1000, 1100), (1, 1000, 1100), (4, 3240, 3960), (5, 4050, 4950), (3600, 4500, 5500)]
        {
            for _ in 0..200 {
                let next = after_answer(&limits, Duration::from_secs(ttl));
                assert!((ms(least)..=ms(most)).contains(&next), "TTL {ttl} s: {next:?}");
            }
        }
    }

    #[test]
    fn failures_back_off_by_doubling_up_to_the_longest_refresh() {
        let limits = Limits::default();
        for (failures, wanted) in
            [(1, 250), (2, 500), (3, 1000), (4, 2000), (5, 4000), (6, 5000), (u32::MAX, 5000)]
        {
            let next = after_failure(&limits, failures);
            assert!(
                (ms(250).max(ms(wanted * 9 / 10))..=ms(wanted * 11 / 10)).contains(&next),
                "{failures}: {next:?}"
            );
        }
    }

    #[test]
    fn not_everybody_asks_at_the_same_time() {
        let drawn: std::collections::HashSet<_> =
            (0..100).map(|_| jittered(Duration::from_secs(5))).collect();
        assert!(drawn.len() > 50);
    }
}
