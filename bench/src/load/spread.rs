//! How one message reaches all receivers: the first, the one in the middle, the last.

use super::Latencies;

/// Messages under way that there is room for: more than a second of them at 200,000 messages/s.
const ROWS: usize = 1 << 18;
/// A time that did not fit: 4.29 s, as long as 32 bits of nanoseconds are.
const TIME_MAX: u64 = u32::MAX as u64;

/// For each message under way, how many receivers it has reached so far.
///
/// One thread sees all arrivals in their order, and a message is due once: so the first arrival is that at the first
/// receiver, and no other has to be kept until the one in the middle and the last come.
///
/// A ring of rows. When the row of a message is needed for a later one, those that it has not reached count as never
/// reached.
#[derive(Debug)]
pub struct Spread {
    receivers: u32,
    /// The receiver in the middle, from 1.
    middle: u32,
    rows: Box<[Row]>,
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
    reached: u32,
    /// Nanoseconds from due to the first receiver.
    first: u32,
}

const EMPTY: Row = Row { seq: u64::MAX, reached: 0, first: 0 };

impl Spread {
    /// For so many receivers: 4 MiB.
    #[must_use]
    pub fn new(receivers: usize) -> Self {
        let receivers = u32::try_from(receivers).unwrap_or(u32::MAX);
        Self {
            receivers,
            middle: receivers.div_ceil(2),
            rows: vec![EMPTY; ROWS].into_boxed_slice(),
            first: Latencies::new(),
            median: Latencies::new(),
            last: Latencies::new(),
            width: Latencies::new(),
            incomplete: 0,
        }
    }

    /// A message reached one more receiver, `ns` after it was due. At most once for each receiver, and in the order of
    /// arrival.
    #[inline]
    pub fn reach(&mut self, seq: u64, ns: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
        let row = &mut self.rows[seq as usize & (ROWS - 1)];
        let time = ns.min(TIME_MAX) as u32;
        if row.seq != seq {
            if row.seq != u64::MAX && row.seq > seq {
                // Later than its row lasted.
                return;
            }
            *row = Row { seq, reached: 0, first: time };
            self.first.record(u64::from(time));
        }
        row.reached = row.reached.saturating_add(1);
        if row.reached == self.middle {
            self.median.record(u64::from(time));
        }
        if row.reached == self.receivers {
            self.last.record(u64::from(time));
            self.width.record(u64::from(time.saturating_sub(row.first)));
        }
    }

    /// No more arrivals: there were `messages`, and those that reached nobody count as well.
    pub fn finish(&mut self, messages: u64) {
        self.incomplete = messages.saturating_sub(self.last.count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_reaches_all_has_a_first_a_median_and_a_last() {
        let mut spread = Spread::new(3);
        for ns in [100, 500, 900] {
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
        let later = ROWS as u64;
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
