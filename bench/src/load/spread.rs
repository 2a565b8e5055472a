//! How one message reaches all receivers: the first, the one in the middle, the last.

use super::Latencies;

/// Bytes that the table may take.
const BYTES_MAX: usize = 64 << 20;
/// Messages under way that it has room for at least.
const ROWS_MIN: usize = 256;
const ROWS_MAX: usize = 1 << 16;
/// A time that did not fit: 4.29 s, as long as 32 bits of nanoseconds are.
const TIME_MAX: u64 = u32::MAX as u64;

/// For each message under way, when it reached each receiver so far.
///
/// A ring of rows. A message is settled when it has reached everybody, or when its row is needed for a later one: then
/// those that it has not reached count as never reached.
#[derive(Debug)]
pub struct Spread {
    receivers: usize,
    rows: Vec<Row>,
    /// Latencies in nanoseconds, `receivers` of each row, in the order of arrival.
    times: Vec<u32>,
    /// From due to the first receiver.
    pub first: Latencies,
    /// From due to the receiver in the middle: half of them, rounded up, had it by then.
    pub median: Latencies,
    /// From due to the last receiver, of messages that reached all.
    pub last: Latencies,
    /// From the first to the last receiver, of messages that reached all.
    pub width: Latencies,
    /// Messages that did not reach all.
    pub incomplete: u64,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    seq: u64,
    reached: usize,
}

const EMPTY: Row = Row { seq: u64::MAX, reached: 0 };

impl Spread {
    /// For so many receivers.
    #[must_use]
    pub fn new(receivers: usize) -> Self {
        let rows =
            (BYTES_MAX / size_of::<u32>() / receivers.max(1)).clamp(ROWS_MIN, ROWS_MAX).next_power_of_two();
        Self {
            receivers,
            rows: vec![EMPTY; rows],
            times: vec![0; rows * receivers],
            first: Latencies::new(),
            median: Latencies::new(),
            last: Latencies::new(),
            width: Latencies::new(),
            incomplete: 0,
        }
    }

    /// A message reached one more receiver, `ns` after it was due. At most once for each receiver.
    #[inline]
    pub fn reach(&mut self, seq: u64, ns: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
        let at = seq as usize & (self.rows.len() - 1);
        if self.rows[at].seq != seq {
            if self.rows[at].seq != u64::MAX && self.rows[at].seq > seq {
                // Later than its row lasted: it was settled as incomplete.
                return;
            }
            self.settle(at);
            self.rows[at] = Row { seq, reached: 0 };
        }
        let row = &mut self.rows[at];
        if row.reached < self.receivers {
            let time = ns.min(TIME_MAX) as u32;
            self.times[at * self.receivers + row.reached] = time;
            row.reached += 1;
        }
        if row.reached == self.receivers {
            self.settle(at);
            // Still known, so that a message is settled once.
            self.rows[at] = Row { seq, reached: usize::MAX };
        }
    }

    /// Settles all that are under way, of which there were `messages`; those that reached nobody count as well.
    pub fn finish(&mut self, messages: u64) {
        for at in 0..self.rows.len() {
            self.settle(at);
            self.rows[at] = EMPTY;
        }
        self.incomplete = messages.saturating_sub(self.last.count());
    }

    fn settle(&mut self, at: usize) {
        let Row { seq, reached } = self.rows[at];
        if seq == u64::MAX || reached == 0 || reached == usize::MAX {
            return;
        }
        let times = &mut self.times[at * self.receivers..][..reached];
        // They come in the order of arrival of one thread, which is nearly sorted already.
        times.sort_unstable();
        let (first, last) = (u64::from(times[0]), u64::from(times[reached - 1]));
        self.first.record(first);
        if let Some(median) = times.get(self.receivers.div_ceil(2) - 1) {
            self.median.record(u64::from(*median));
        }
        if reached == self.receivers {
            self.last.record(last);
            self.width.record(last - first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_reaches_all_has_a_first_a_median_and_a_last() {
        let mut spread = Spread::new(3);
        for ns in [500, 100, 900] {
            spread.reach(7, ns);
        }
        spread.finish(8);
        let values =
            [&spread.first, &spread.median, &spread.last, &spread.width].map(|l| (l.count(), l.at(0.5)));
        assert_eq!(values, [(1, 100), (1, 500), (1, 900), (1, 800)]);
        assert_eq!(spread.incomplete, 7, "the others reached nobody");
    }

    #[test]
    fn a_message_that_misses_somebody_has_no_last() {
        let mut spread = Spread::new(4);
        spread.reach(0, 10);
        spread.reach(0, 20);
        spread.reach(1, 10);
        spread.finish(2);
        assert_eq!([spread.first.count(), spread.median.count(), spread.last.count()], [2, 1, 0]);
        assert_eq!(spread.incomplete, 2);
    }

    #[test]
    fn what_comes_after_its_row_is_gone_is_left_out_and_the_message_counts_as_incomplete() {
        let mut spread = Spread::new(2);
        let later = spread.rows.len() as u64;
        spread.reach(0, 10);
        spread.reach(later, 10);
        spread.reach(0, 20);
        spread.reach(later, 30);
        spread.finish(later + 1);
        assert_eq!(spread.last.count(), 1);
        assert_eq!(spread.incomplete, later);
    }

    #[test]
    fn one_receiver_is_first_and_last() {
        let mut spread = Spread::new(1);
        spread.reach(0, 42);
        spread.finish(1);
        assert_eq!([spread.first.at(0.5), spread.median.at(0.5), spread.last.at(0.5)], [42; 3]);
        assert_eq!((spread.width.at(1.0), spread.incomplete), (0, 0));
    }
}
