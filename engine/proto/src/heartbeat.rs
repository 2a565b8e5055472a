//! When a publisher that has nothing to send says so.
//!
//! 1, 2, 4 ... 512 and 1,000 ms after the last first copy, then every second: a receiver learns soon
//! that the last message was lost, and after three missing ones that the publisher is gone.
//!
//! A stream whose messages follow one another within a few milliseconds tells of a lost one by the next: there the first
//! heartbeat comes only when the next message has not, after twice the usual time between two. Otherwise there would be
//! as many heartbeats as messages, each in the way of the next message.

const MS: u64 = 1_000_000;
/// The longest time between two heartbeats.
pub const INTERVAL_MAX_NS: u64 = 1_000 * MS;

/// The longest that a heartbeat waits for the next message of a stream.
const PATIENCE_MAX_NS: u64 = 8 * MS;

/// The heartbeats since the last data.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat {
    /// When the last first copy went out; 0 before the first.
    data_ns: u64,
    /// How many have been sent since.
    beats: u32,
    /// The usual time between two messages; 0 while there has been one at most.
    gap_ns: u64,
}

impl Heartbeat {
    /// Nothing sent yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { data_ns: 0, beats: 0, gap_ns: 0 }
    }

    /// When the next one is due, on the clock that `data_ns` is of: the time of the last first copy.
    #[inline]
    pub fn due_ns(&mut self, data_ns: u64) -> u64 {
        if self.data_ns != data_ns {
            let gap_ns = data_ns.saturating_sub(self.data_ns).min(10 * PATIENCE_MAX_NS);
            let usual_ns = match (self.data_ns, self.gap_ns) {
                (0, _) => 0,
                (_, 0) => gap_ns,
                (_, usual_ns) => (3 * usual_ns + gap_ns) / 4,
            };
            *self = Self { data_ns, beats: 0, gap_ns: usual_ns };
        }
        self.data_ns.saturating_add(offset_ns(self.beats).max(self.patience_ns()))
    }

    /// How long after a message the next one is waited for, if it usually comes that soon.
    #[inline]
    fn patience_ns(&self) -> u64 {
        let twice_ns = 2 * self.gap_ns;
        if twice_ns <= PATIENCE_MAX_NS { twice_ns } else { 0 }
    }

    /// Books that one has been sent. Those that were due as well by `now_ns` are left out.
    pub fn sent(&mut self, now_ns: u64) {
        self.beats = self.beats.saturating_add(1);
        let late_ns = now_ns.saturating_sub(self.data_ns);
        while offset_ns(self.beats) <= late_ns && self.beats < DOUBLINGS {
            self.beats += 1;
        }
        if self.beats >= DOUBLINGS {
            let seconds = u32::try_from(late_ns / INTERVAL_MAX_NS).unwrap_or(u32::MAX);
            self.beats = self.beats.max(seconds.saturating_add(DOUBLINGS));
        }
    }
}

/// Heartbeats before they come once a second: at 1, 2, 4 ... 512 ms.
const DOUBLINGS: u32 = 10;

/// How long after the data heartbeat `n` is due.
fn offset_ns(n: u32) -> u64 {
    if n < DOUBLINGS { MS << n } else { INTERVAL_MAX_NS.saturating_mul(u64::from(n - DOUBLINGS) + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_double_up_to_a_second() {
        let mut heartbeat = Heartbeat::new();
        let mut after_ms = Vec::new();
        for _ in 0..13 {
            let due_ns = heartbeat.due_ns(5 * MS);
            after_ms.push(due_ns / MS - 5);
            heartbeat.sent(due_ns);
        }
        assert_eq!(after_ms, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000, 2_000, 3_000]);
    }

    #[test]
    fn data_starts_them_again() {
        let mut heartbeat = Heartbeat::new();
        heartbeat.sent(heartbeat.clone().due_ns(MS));
        heartbeat.due_ns(MS);
        heartbeat.sent(2 * MS);
        assert_eq!(heartbeat.due_ns(7 * MS), 8 * MS);
    }

    #[test]
    fn messages_that_come_soon_are_waited_for() {
        for (gap_ms, first_ms) in [(1, 2), (3, 6), (4, 8), (5, 1), (1_000, 1)] {
            let mut heartbeat = Heartbeat::new();
            let mut data_ms = 100;
            for _ in 0..20 {
                heartbeat.due_ns(data_ms * MS);
                data_ms += gap_ms;
            }
            assert_eq!(heartbeat.due_ns(data_ms * MS), (data_ms + first_ms) * MS, "every {gap_ms} ms");
            heartbeat.sent((data_ms + first_ms) * MS);
            let next = heartbeat.due_ns(data_ms * MS) / MS - data_ms;
            assert!(next > first_ms && next <= 2 * first_ms && next.is_power_of_two(), "{next}");
        }
    }

    #[test]
    fn a_process_that_slept_does_not_make_up_for_them() {
        let mut heartbeat = Heartbeat::new();
        assert_eq!(heartbeat.due_ns(MS), 2 * MS);
        heartbeat.sent(101 * MS);
        assert_eq!(heartbeat.due_ns(MS), 129 * MS);
        heartbeat.sent(9_500 * MS);
        assert_eq!(heartbeat.due_ns(MS), 10_001 * MS);
    }
}
