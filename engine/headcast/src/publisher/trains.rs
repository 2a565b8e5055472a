//! How much goes out together: several datagrams to each peer in one send, never so many that the first of them is
//! late at the last peer.
//!
//! Nothing ever waits to be joined by others. What has queued while the engine was busy goes out together, up to a
//! limit that follows the clock: a pass over all peers takes no longer than it may, what it waits for a full socket
//! included. It starts low, doubles at most from one pass to the next, and halves at most.

use headcast_udp::{TRAIN_BYTES_MAX, TRAIN_MAX};

use super::{Pass, Publisher};
use crate::clock;
use crate::ring::Ring;

/// Datagrams of the first train to a new peer set, and of the shortest.
const LEAST: usize = 2;
/// Bytes of an IPv6 and a UDP header, the longer ones.
const HEADERS: usize = 40 + 8;

/// How long a train may be.
pub(super) struct Trains {
    /// The most that the kernel takes; 1 = no trains.
    most: usize,
    /// At most, for now.
    limit: usize,
    pass_max_ns: u64,
    /// When the running pass began.
    begun_ns: u64,
}

impl Trains {
    /// Of at most `most` datagrams, in passes of at most `pass_max_ns`.
    pub(super) fn new(most: usize, pass_max_ns: u64) -> Self {
        Self { most: most.clamp(1, TRAIN_MAX), limit: 1, pass_max_ns, begun_ns: 0 }
    }

    /// The longest at present, in datagrams.
    #[inline]
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// There are other peers.
    pub(super) fn restart(&mut self) {
        self.limit = self.bounded(LEAST);
    }

    /// The most bytes of datagrams of `segment` bytes. Kernels that take no more than 64 of them count the headers of
    /// the first as well (`udp_send_skb`, before Linux 5.17).
    #[inline]
    fn bytes_max(&self, segment: usize) -> usize {
        if self.most == TRAIN_MAX {
            return TRAIN_BYTES_MAX;
        }
        (self.most * segment).saturating_sub(HEADERS).min(TRAIN_BYTES_MAX)
    }

    fn bounded(&self, limit: usize) -> usize {
        // Over so many peers that even the least takes too long, a single datagram does as well.
        if self.most == 1 { 1 } else { limit.clamp(LEAST, self.most) }
    }

    /// A pass of so many datagrams has taken so long.
    fn took(&mut self, datagrams: usize, ns: u64) {
        let fits = u128::from(self.pass_max_ns) * datagrams as u128 / u128::from(ns.max(1));
        let fits = usize::try_from(fits).unwrap_or(usize::MAX);
        self.limit = self.bounded(fits.clamp(self.limit / 2, self.limit * 2));
    }
}

impl Publisher {
    /// How many datagrams from this one on go out together: as long as each other, but for the last.
    pub(super) fn train(&self, seq: u64, copy: u8, now_ns: u64) -> usize {
        if self.trains.limit == 1 || !self.fanout.takes_trains() {
            return 1;
        }
        let run = self.schedule.run(seq, copy, self.trains.limit as u64, now_ns);
        let len = |seq| self.ring.slot(seq).on_wire(self.framed).len();
        let segment = len(seq);
        let bytes_max = self.trains.bytes_max(segment);
        let (mut count, mut total, mut last) = (1, segment, segment);
        for next in seq + 1..seq + run {
            let len = len(next);
            // The kernel takes an end of the segments' length for one more segment, and an empty one for none.
            if last < segment || len > segment || len == 0 || total + len > bytes_max {
                break;
            }
            (count, total, last) = (count + 1, total + len, len);
        }
        count
    }

    /// Starts the pass of one copy of each of several datagrams to all peers.
    pub(super) fn begin_train(&mut self, pass: Pass, now_ns: u64) {
        let rotate = pass.copy < self.rotates_below;
        self.egress.begin_train(&mut self.fanout, rotate, pass.count, now_ns, &self.counters);
        self.trains.begun_ns = now_ns;
    }

    /// Goes on with the pass of a train; returns whether it is done. If not, it is the running one.
    pub(super) fn go_on_train(&mut self, pass: Pass, now_ns: u64) -> std::io::Result<bool> {
        let datagrams = datagrams(&self.ring, self.framed, pass);
        let registry = self.poll.registry();
        let sent = if pass.copy == 0 { &self.counters.sent_first } else { &self.counters.sent_later };
        let done =
            self.egress.flush_train(registry, &mut self.fanout, datagrams, sent, now_ns, &self.counters);
        if !matches!(done, Ok(true)) {
            self.pass = Some(pass);
            return done;
        }
        self.trains.took(pass.count, clock::mono_ns().saturating_sub(self.trains.begun_ns));
        self.schedule.sent_run(pass.seq, pass.count as u64, pass.copy, now_ns);
        self.book_pass(pass.copy, pass.count);
        Ok(true)
    }
}

/// The datagrams of a pass, as they go out.
pub(super) fn datagrams(
    ring: &Ring,
    framed: bool,
    pass: Pass,
) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
    (0..pass.count).map(move |at| ring.slot(pass.seq + at as u64).on_wire(framed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_pass_comes_to_take_as_long_as_it_may() {
        for (peers, ns_each) in [(10, 30), (100, 30), (100, 500), (1_000, 40), (1, 20)] {
            let mut trains = Trains::new(128, MS);
            trains.restart();
            for _ in 0..12 {
                let datagrams = trains.limit();
                trains.took(datagrams, (datagrams * peers) as u64 * ns_each);
            }
            let right = (MS / (peers as u64 * ns_each)).clamp(2, 128);
            assert_eq!(trains.limit() as u64, right, "{peers} peers, {ns_each} ns");
        }
    }

    #[test]
    fn one_odd_pass_halves_the_trains_at_most() {
        let mut trains = Trains::new(64, MS);
        trains.restart();
        (0..10).for_each(|_| trains.took(2, 1));
        assert_eq!(trains.limit(), 64);
        trains.took(64, 1_000 * MS);
        assert_eq!(trains.limit(), 32);
        // A short pass says what a longer one would take.
        trains.took(2, 1);
        assert_eq!(trains.limit(), 64);
    }

    #[test]
    fn where_the_headers_count_a_full_train_is_a_datagram_shorter() {
        let old = Trains::new(64, MS);
        assert!((63 * 100..64 * 100).contains(&old.bytes_max(100)));
        // Tiny ones leave less room, and 1,300 B are bounded by the length of a packet.
        assert_eq!([1, 1_300].map(|segment| old.bytes_max(segment)), [16, TRAIN_BYTES_MAX]);
        assert_eq!(Trains::new(TRAIN_MAX, MS).bytes_max(1), TRAIN_BYTES_MAX);
    }

    #[test]
    fn without_offload_there_are_no_trains() {
        let mut trains = Trains::new(1, MS);
        trains.restart();
        trains.took(1, 1);
        assert_eq!(trains.limit(), 1);
    }
}
