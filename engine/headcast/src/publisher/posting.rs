//! Messages that are published together.

use super::Publisher;
use super::sending::Due;
use crate::clock;
use crate::error::PublishError;

impl Publisher {
    /// Takes a message in, to go out together with what is posted next: small messages share a datagram, and several
    /// datagrams go to each peer in one send.
    ///
    /// It waits for [`flush`](Self::flush), the next [`publish`](Self::publish) or the next [`turn`](Self::turn), but
    /// goes out before that when enough for one pass over the peers has been posted, or when a message is too long for
    /// one datagram.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    #[inline]
    pub fn post(&mut self, payload: &[u8]) -> Result<(), PublishError> {
        if payload.len() > self.sizes.payload_max {
            return self.publish_long(payload).map(drop);
        }
        let mut claim = self.claim(payload.len())?;
        claim.copy_from_slice(payload);
        claim.post()
    }

    /// Sends what was posted. What the sockets have no room for now goes out in later turns.
    ///
    /// # Errors
    /// [`PublishError::Socket`].
    pub fn flush(&mut self) -> Result<(), PublishError> {
        let mut sent = 0;
        while self.schedule.unsent() > 0 {
            let due = self.send_due::<false>(clock::mono_ns())?;
            sent += due.sent;
            if !due.more {
                break;
            }
        }
        if sent > 0 { self.attend_after(sent) } else { Ok(()) }
    }

    /// Sends a pass of what was posted when there is enough for one, and another datagram to go on with.
    #[inline]
    pub(super) fn send_full(&mut self) -> Result<(), PublishError> {
        if self.schedule.unsent() > self.trains.limit() as u64 {
            let sent = self.send_pass(clock::mono_ns())?;
            self.attend_after(sent)?;
        }
        Ok(())
    }

    /// Answers receivers, as far as so many datagrams leave them a share, and sends nothing else.
    fn attend_after(&mut self, sent: usize) -> Result<(), PublishError> {
        if self.repairing.is_some() {
            self.wait(Some(std::time::Duration::ZERO), u64::MAX)?;
            if self.is_asked() {
                self.take_requests();
            }
            if !self.is_sending() {
                self.send_repairs(&mut Due { sent, more: true, next_ns: u64::MAX })?;
            }
        }
        Ok(())
    }
}
