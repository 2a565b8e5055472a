//! The end: everything that was accepted goes out, then a farewell.

use std::io;
use std::time::Duration;

use headcast_proto::HEADER_LEN;
use headcast_proto::header::PATH_OFFSET;

use super::Publisher;
use crate::clock::{self, nanos};
use crate::counters::PublisherCounters;

impl Publisher {
    /// Sends everything that was accepted, all copies of it, then says that the publisher stops.
    ///
    /// Handles and the local socket are refused from now on; what they had handed over is sent. After
    /// `timeout` it gives up what is left. Returns how many messages had not gone out by then in all their
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
            let drained = self.queue.is_drained() && !self.ingress_ready;
            let left_ns = deadline_ns.saturating_sub(clock::mono_ns());
            if left_ns == 0 || drained && self.schedule.backlog() == 0 && !self.is_sending() {
                break;
            }
            // A thread that is still in `publish` cannot wake us: look again soon.
            let wait = if drained { Duration::from_nanos(left_ns) } else { Duration::from_millis(1) };
            self.turn(Some(wait))?;
        }
        // After this the path is gone: a local application learns that nobody listens.
        self.ingress = None;
        // The batch is at the disposal of the pass that is going out, if there is one.
        if self.framed && self.sequencer.last_seq() > 0 && !self.is_sending() {
            self.say_end()?;
        }
        Ok(self.schedule.backlog() + usize::from(self.aside_copy.is_some()) + self.queue.len())
    }

    /// The farewell, in as many copies as a message. It is not waited for: it only saves time.
    fn say_end(&mut self) -> io::Result<()> {
        let mut datagram = [0; HEADER_LEN];
        self.sequencer.end(&mut datagram, clock::now());
        let ends = PublisherCounters::default();
        for copy in 0..self.copies {
            datagram[PATH_OFFSET] = copy;
            let now_ns = clock::mono_ns();
            self.egress.begin(&mut self.fanout, true, now_ns, &ends);
            self.egress.flush(self.poll.registry(), &mut self.fanout, &datagram, true, now_ns, &ends)?;
        }
        Ok(())
    }
}
