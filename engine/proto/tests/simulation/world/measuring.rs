//! What a world of the table measures: one publisher and one subscriber, from when the network gets bad until
//! nothing new is published.

use headcast_proto::Datagram;

use super::World;
use crate::mail::{Mail, Purpose};

impl World {
    /// From now on what is published counts.
    pub(super) fn begin_measuring(&mut self) {
        self.measured = self.records.all[0].last_seq() + 1..u64::MAX;
    }

    /// What is published from now on does not count.
    pub(super) fn end_measuring(&mut self) {
        if self.plan.warm_ns > 0 {
            self.measured.end = self.records.all[0].last_seq() + 1;
        }
    }

    /// Books what is sent of what counts. Heartbeats are left out: a stream that is not idle has none.
    pub(super) fn measure_bytes(&mut self, mail: &Mail) {
        if self.measured.is_empty() {
            return;
        }
        let len = mail.bytes.len() as u64;
        let seq = Datagram::parse(&mail.bytes).map_or(0, |datagram| datagram.seq());
        match mail.purpose {
            Purpose::First if self.measured.contains(&seq) => self.totals.first_bytes += len,
            Purpose::Later | Purpose::Repair if self.measured.contains(&seq) => {
                self.totals.other_bytes += len
            }
            Purpose::Request if !self.phase.is_healed() => self.totals.other_bytes += len,
            _ => {}
        }
    }

    /// How many were not delivered.
    pub(super) fn measure_misses(&mut self) {
        if self.measured.is_empty() {
            return;
        }
        let id = self.records.all[0].id;
        let ledger = self.subscribers[0].run.as_ref().and_then(|run| run.ledgers.of(id));
        let delivered = |seq: &u64| ledger.is_some_and(|ledger| ledger.has_delivered(*seq));
        self.totals.measured = self.measured.end - self.measured.start;
        self.totals.missed = self.totals.measured - self.measured.clone().filter(delivered).count() as u64;
    }
}
