//! The end: everything that was accepted goes out, then a farewell.

use std::io;
use std::time::Duration;

use super::{Beside, Publisher};
use crate::clock::{self, nanos};

/// How long nobody may have asked for a repair until all seem to have everything.
const QUIET_NS: u64 = 100_000_000;

impl Publisher {
    /// Sends everything that was accepted, all copies of it, then says that the publisher stops. In the modes
    /// with repairs it says so again and again, and answers requests, until there has been none for 100 ms.
    ///
    /// Handles and the local socket are refused from now on; what they had handed over is sent. After
    /// `timeout` it gives up what is left. Returns how many datagrams had not gone out by then in all their
    /// copies, as far as they had been read.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn close(&mut self, timeout: Duration) -> io::Result<usize> {
        let deadline_ns = clock::mono_ns().saturating_add(nanos(timeout));
        self.queue.close();
        if let Some(ingress) = &self.ingress {
            // Where that cannot be (the path is gone, there is no loopback), senders learn it a moment later, from the
            // closed socket. It is no reason to drop what was accepted.
            let _ = ingress.refuse_more();
            // What has arrived is in the socket's buffer: look for it, whatever the poll has said.
            self.ingress_ready = true;
        }
        self.turn(Some(Duration::ZERO))?;
        loop {
            let drained = self.queue.is_drained() && !self.ingress_ready && self.cut.is_none();
            let left_ns = deadline_ns.saturating_sub(clock::mono_ns());
            if left_ns == 0 || drained && self.schedule.backlog() == 0 && !self.is_sending() {
                break;
            }
            // A thread that is still in `publish` cannot wake us: look again soon.
            let wait = if drained { Duration::from_nanos(left_ns) } else { Duration::from_millis(1) };
            self.turn(Some(wait))?;
        }
        // After this the path is gone: a local application learns that nobody listens.
        let held = self.ingress.take().map_or(0, |ingress| ingress.count_held());
        // The batch is at the disposal of the pass that is going out, if there is one.
        if self.framed && self.sequencer.last_seq() > 0 && !self.is_sending() {
            self.say_end(deadline_ns)?;
        }
        let beside = if let Some(Beside::Copy { count, .. }) = self.beside { count } else { 0 };
        Ok(self.schedule.backlog() + beside + usize::from(self.cut.is_some()) + held + self.queue.len())
    }

    /// Says that the publisher stops: as often as a message goes out, but by the schedule of heartbeats; where
    /// receivers may ask, until none of them has for a while.
    fn say_end(&mut self, deadline_ns: u64) -> io::Result<()> {
        let often_enough = self.counters.heartbeats.get() + u64::from(self.copies);
        self.ended_ns = Some(clock::mono_ns());
        self.say()?;
        // What was sent, not what was asked for: who never stops asking has soon had his share.
        let (mut sent_ns, mut sent) = (clock::mono_ns(), self.repairs_tried());
        // When all peers are gone, nobody is told and nobody asks.
        while self.fanout.len() > 0 {
            let now_ns = clock::mono_ns();
            if self.repairs_tried() != sent {
                (sent_ns, sent) = (now_ns, self.repairs_tried());
            }
            let quiet_ns = sent_ns.saturating_add(QUIET_NS);
            let (done, wake_ns) = match &self.repairing {
                Some(repairing) => (now_ns >= quiet_ns && repairing.is_idle(), quiet_ns.min(deadline_ns)),
                None => (self.counters.heartbeats.get() >= often_enough, deadline_ns),
            };
            // Whatever was begun is finished: all or nobody has been told, and the counters add up.
            if done && !self.is_sending() || now_ns >= deadline_ns {
                break;
            }
            self.turn(Some(Duration::from_nanos(wake_ns.saturating_sub(now_ns))))?;
        }
        Ok(())
    }

    fn repairs_tried(&self) -> u64 {
        self.counters.repairs_sent.get() + self.counters.repairs_failed.get()
    }
}
