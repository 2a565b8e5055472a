//! Memory of long messages that wait: taken and given back by the threads that publish.
//!
//! What of a message does not fit into one buffer of the queue goes into a box of its own, which its
//! publisher allocates. The data thread only passes the empty box back, and the next thread that
//! publishes anything frees it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crossbeam::queue::ArrayQueue;

use crate::limits::QUEUE_BYTES_MAX;

/// The boxes, and how much of what they may take they take.
pub(super) struct Long {
    /// Boxes that the data thread is done with.
    spent: ArrayQueue<Box<[u8]>>,
    /// What the boxes are charged that exist, those in `spent` included.
    charged: AtomicUsize,
    /// What one is charged at least: so there are never more of them than `spent` has places.
    charge_min: usize,
}

impl Long {
    /// For at least `boxes` short ones at a time.
    pub(super) fn new(boxes: usize) -> Self {
        let charge_min = (QUEUE_BYTES_MAX / boxes).max(1);
        let most = QUEUE_BYTES_MAX / charge_min;
        Self { spent: ArrayQueue::new(most), charged: AtomicUsize::new(0), charge_min }
    }

    fn charge(&self, len: usize) -> usize {
        len.max(self.charge_min)
    }

    /// Copies `bytes` into a box of their own, if they may be taken.
    pub(super) fn take(&self, bytes: &[u8]) -> Option<Box<[u8]>> {
        let charge = self.charge(bytes.len());
        let within = |charged: usize| Some(charged + charge).filter(|charged| *charged <= QUEUE_BYTES_MAX);
        // Only a count: what the boxes hold is ordered by the queues that they go through.
        self.charged.fetch_update(Relaxed, Relaxed, within).ok()?;
        Some(bytes.into())
    }

    /// Takes a box back from the data thread, which must not free it.
    pub(super) fn spend(&self, rest: Box<[u8]>) {
        // There are at most as many boxes as places, so it fits.
        let fits = self.spent.push(rest);
        debug_assert!(fits.is_ok());
    }

    /// Frees a box; an empty one is none.
    pub(super) fn free(&self, rest: Box<[u8]>) {
        if !rest.is_empty() {
            let charge = self.charge(rest.len());
            drop(rest);
            self.charged.fetch_sub(charge, Relaxed);
        }
    }

    /// Frees what the data thread is done with.
    #[inline]
    pub(super) fn reclaim(&self) {
        if !self.spent.is_empty() {
            while let Some(rest) = self.spent.pop() {
                self.free(rest);
            }
        }
    }
}

const _: () = assert!(QUEUE_BYTES_MAX >= crate::limits::MESSAGE_MAX, "one message always fits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_may_be_and_what_is_freed_may_be_taken_again() {
        let long = Long::new(3);
        let mut boxes: Vec<_> = (0..3).map(|n| long.take(&[n]).expect("room")).collect();
        assert!(long.take(&[9]).is_none(), "however small: there is a place for three");
        long.spend(boxes.remove(0));
        assert!(long.take(&[9]).is_none(), "it has not been freed yet");
        long.reclaim();
        let fourth = long.take(&[9]).expect("room");
        assert_eq!(&*fourth, [9]);
        boxes.push(fourth);
        for rest in boxes {
            long.free(rest);
        }
        assert_eq!(long.charged.into_inner(), 0);
    }

    #[test]
    fn what_is_taken_is_bounded_by_bytes() {
        let long = Long::new(1 << 20);
        let message = vec![0; QUEUE_BYTES_MAX / 2];
        let (first, second) = (long.take(&message), long.take(&message[1..]));
        assert!(first.is_some() && second.is_some());
        assert!(long.take(&message[..1000]).is_none());
    }
}
