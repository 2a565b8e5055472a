//! Payloads that the protocol itself reads: several messages, repair requests, responses, and
//! acknowledgements.

use std::ops::Range;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Refusal;

/// The most entries one repair request may have.
pub const NAK_ENTRIES_MAX: usize = 16;

/// In front of a repair request's entries: whose datagrams are missing.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct NakHead {
    /// The publisher that is asked.
    pub publisher: U32,
    /// Its stream.
    pub stream: U16,
    /// How many entries follow: 1 to [`NAK_ENTRIES_MAX`].
    pub count: U16,
    /// Its session.
    pub session: U64,
}

/// Up to 65 missing datagrams: `base`, and `base + 1 + i` for each set bit i.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct NakEntry {
    /// Missing itself.
    pub base: U64,
    /// Which of the 64 after it are missing as well.
    pub bitmap: U64,
}

/// In front of a response's result: the message that it answers.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ResponseHead {
    /// The publisher of the message.
    pub publisher: U32,
    /// Its stream.
    pub stream: U16,
    /// Which message of its datagram it is, from 0; 0 for one that came alone.
    pub part: U16,
    /// Its session.
    pub session: U64,
    /// Its sequence, from 1.
    pub seq: U64,
}

/// An acknowledgement: every response below `next` is stored, and so is `next + 1 + i` for each set bit i.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ack {
    /// The responder.
    pub publisher: U32,
    /// Must be zero.
    pub zero: U32,
    /// Its session.
    pub session: U64,
    /// The first that is not stored.
    pub next: U64,
    /// Which of the 64 after it are.
    pub bitmap: U64,
}

/// The parts of a repair request.
///
/// # Errors
/// [`Refusal::Body`] when it is none.
pub fn nak(payload: &[u8]) -> Result<(&NakHead, &[NakEntry]), Refusal> {
    let (head, rest) = NakHead::ref_from_prefix(payload).map_err(|_| Refusal::Body)?;
    let count = usize::from(head.count.get());
    if !(1..=NAK_ENTRIES_MAX).contains(&count) {
        return Err(Refusal::Body);
    }
    let entries = <[NakEntry]>::ref_from_bytes_with_elems(rest, count).map_err(|_| Refusal::Body)?;
    let in_range = |e: &NakEntry| {
        // The highest sequence that the entry names must exist.
        let reach = 64 - u64::from(e.bitmap.get().leading_zeros());
        e.base.get() >= 1 && e.base.get().checked_add(reach).is_some()
    };
    if entries.iter().all(in_range) { Ok((head, entries)) } else { Err(Refusal::Body) }
}

/// The sequences that the entries of a repair request name, in their order. The entries are those of a
/// checked request; sequences beyond the last one there is are left out.
pub fn nak_sequences(entries: &[NakEntry]) -> impl Iterator<Item = u64> {
    entries.iter().flat_map(|entry| {
        let (base, bitmap) = (entry.base.get(), entry.bitmap.get());
        let after =
            (0..64).filter(move |i| bitmap >> i & 1 == 1).filter_map(move |i| base.checked_add(i + 1));
        std::iter::once(base).chain(after)
    })
}

/// The message that a response answers, and the result.
///
/// # Errors
/// [`Refusal::Body`] when it is none.
pub fn response(payload: &[u8]) -> Result<(&ResponseHead, &[u8]), Refusal> {
    match ResponseHead::ref_from_prefix(payload) {
        Ok((head, result)) if head.seq.get() >= 1 => Ok((head, result)),
        _ => Err(Refusal::Body),
    }
}

/// An acknowledgement.
///
/// # Errors
/// [`Refusal::Body`] when it is none.
pub fn ack(payload: &[u8]) -> Result<&Ack, Refusal> {
    match Ack::ref_from_bytes(payload) {
        Ok(ack) if ack.zero.get() == 0 => Ok(ack),
        _ => Err(Refusal::Body),
    }
}

/// Checks that `payload` is exactly `count` messages, each behind its length.
///
/// # Errors
/// [`Refusal::Coalesced`] when it is not.
pub fn check_coalesced(payload: &[u8], count: u16) -> Result<(), Refusal> {
    let mut messages = coalesced(payload);
    let found = messages.by_ref().count();
    if count >= 1 && found == usize::from(count) && messages.rest.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Coalesced)
    }
}

/// The messages of a coalesced payload, in order.
#[must_use]
pub fn coalesced(payload: &[u8]) -> Coalesced<'_> {
    Coalesced { rest: payload }
}

/// See [`coalesced`].
#[derive(Clone, Debug)]
pub struct Coalesced<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Coalesced<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<2>()?;
        let (message, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        self.rest = rest;
        Some(message)
    }
}

/// Where the message lies whose length stands at `at` of a coalesced payload; `None` if none does.
#[inline]
#[must_use]
pub fn coalesced_at(payload: &[u8], at: usize) -> Option<Range<usize>> {
    let length = payload.get(at..)?.first_chunk::<2>()?;
    let from = at + length.len();
    let to = from + usize::from(u16::from_le_bytes(*length));
    (to <= payload.len()).then_some(from..to)
}

#[cfg(test)]
mod tests;
