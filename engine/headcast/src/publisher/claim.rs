//! A slot of the ring, lent to whoever writes the message.

use std::ops::{Deref, DerefMut};

use super::Publisher;
use crate::clock;
use crate::error::PublishError;

/// After so many messages an owner who only publishes is no excuse for leaving receivers without an answer.
const ATTEND_EVERY: u64 = 64;

/// Room for one message in the ring. Dropped without [`commit`](Self::commit), it was never there.
///
/// The bytes are those of an earlier message until they are written.
pub struct Claim<'a> {
    publisher: &'a mut Publisher,
    len: usize,
}

impl<'a> Claim<'a> {
    pub(super) fn new(publisher: &'a mut Publisher, len: usize) -> Self {
        Self { publisher, len }
    }

    /// Shortens the message to its first `len` bytes; a longer `len` changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Publishes what was written, and sends it to all peers at once; returns its sequence.
    ///
    /// # Errors
    /// [`PublishError::Socket`] when a socket failed for good. The message has been accepted all the same.
    #[inline]
    pub fn commit(self) -> Result<u64, PublishError> {
        let now = clock::now();
        let seq = self.publisher.take_in(self.len, now);
        self.publisher.send_due::<false>(now.mono_ns)?;
        if seq.is_multiple_of(ATTEND_EVERY) {
            self.publisher.attend()?;
        }
        Ok(seq)
    }

    /// Takes in what was written, to go out with the next [`Publisher::flush`], commit or turn.
    #[inline]
    pub fn post(self) {
        self.publisher.take_in(self.len, clock::now());
    }

    fn seq(&self) -> u64 {
        self.publisher.sequencer.last_seq() + 1
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.publisher.ring.payload(self.seq(), self.len)
    }
}

impl DerefMut for Claim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let (seq, len) = (self.seq(), self.len);
        self.publisher.ring.slot_mut(seq).payload_mut(len)
    }
}
