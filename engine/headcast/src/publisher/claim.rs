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
    /// It lies in a datagram that has not gone out, behind others.
    packs: bool,
}

impl<'a> Claim<'a> {
    #[inline]
    pub(super) fn new(publisher: &'a mut Publisher, len: usize, packs: bool) -> Self {
        Self { publisher, len, packs }
    }

    /// Shortens the message to its first `len` bytes; a longer `len` changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Publishes what was written, and sends it to all peers at once; returns its sequence, which it may share with
    /// messages that waited before it: see [`PublisherBuilder::packing`](crate::PublisherBuilder::packing).
    ///
    /// # Errors
    /// [`PublishError::Socket`] when a socket failed for good. The message has been accepted all the same.
    #[inline]
    pub fn commit(mut self) -> Result<u64, PublishError> {
        let now = clock::now();
        let seq = if self.packs { self.pack() } else { self.publisher.take_in(self.len, now) };
        self.publisher.send_last(seq, now.mono_ns)?;
        if seq.is_multiple_of(ATTEND_EVERY) {
            self.publisher.attend()?;
        }
        Ok(seq)
    }

    /// Takes in what was written, to go out with what is posted or committed next: see [`Publisher::post`].
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    #[inline]
    pub fn post(mut self) -> Result<(), PublishError> {
        if self.packs {
            self.pack();
            return Ok(());
        }
        self.publisher.take_in(self.len, clock::now());
        self.publisher.send_full()
    }

    #[cold]
    fn pack(&mut self) -> u64 {
        self.publisher.pack(self.len);
        self.publisher.sequencer.last_seq()
    }

    fn seq(&self) -> u64 {
        self.publisher.sequencer.last_seq() + 1
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.packs {
            let last = self.publisher.ring.slot(self.publisher.sequencer.last_seq());
            return last.room(self.len);
        }
        self.publisher.ring.slot(self.seq()).payload(self.len)
    }
}

impl DerefMut for Claim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.packs {
            return self.publisher.open_room_mut(self.len);
        }
        let (seq, len) = (self.seq(), self.len);
        self.publisher.ring.slot_mut(seq).payload_mut(len)
    }
}
