//! Out when there is nothing to send: heartbeats, and after the end the farewell.

use std::io;

use super::sending::Due;
use super::{Beside, Publisher};
use crate::clock;

impl Publisher {
    /// Says that the publisher is there, if that is due; tells when it is next. Only while no pass is under
    /// way and nothing else is due.
    pub(super) fn beat(&mut self, now_ns: u64, due: &mut Due) -> io::Result<()> {
        if !self.framed || self.fanout.len() == 0 {
            return Ok(());
        }
        // After the farewell time counts from there.
        let since_ns = self.ended_ns.or(self.schedule.last_sent().map(|(_, sent_ns)| sent_ns));
        let Some(since_ns) = since_ns else { return Ok(()) };
        let mut due_ns = self.heartbeat.due_ns(since_ns);
        if due_ns <= now_ns {
            self.heartbeat.sent(now_ns);
            if !self.say()? {
                return Ok(());
            }
            due_ns = self.heartbeat.due_ns(since_ns);
        }
        due.next_ns = due.next_ns.min(due_ns);
        Ok(())
    }

    /// Sends a heartbeat, or the farewell once everything is over; returns whether that is done. No pass may
    /// be under way.
    pub(super) fn say(&mut self) -> io::Result<bool> {
        let now = clock::now();
        if self.ended_ns.is_some() {
            self.sequencer.end(&mut self.beat, now);
        } else {
            self.sequencer.heartbeat(&mut self.beat, now);
        }
        self.adopt_peers();
        self.egress.begin(&mut self.fanout, false, self.beat.len(), now.mono_ns, &self.counters);
        self.beside = Some(Beside::Heartbeat);
        self.finish_beside(now.mono_ns)
    }
}
