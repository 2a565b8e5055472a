//! A checked view of received bytes: who holds a [`Datagram`] holds a valid one.
//!
//! The checks run in the order that `docs/wire-format.md` gives, and the first that fails names the
//! [`Refusal`]. No input makes this module panic, and it never reads past the slice it was given:
//! every access goes through checked splits.

use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use crate::header::{FRAGMENTS_MAX, HEADER_LEN, Header, Kind, TAG_LEN, VERSION, flags, path};
use crate::{Refusal, Session, body, extension};

/// A valid datagram, borrowed from the receive buffer.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    header: &'a Header,
    kind: Kind,
    extension: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Checks everything about `bytes` that can be told without knowing its publisher.
    ///
    /// # Errors
    /// The first check that failed.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        // What nearly all are; the checks of the others come to the same, one by one.
        Self::parse_plain(bytes).map_or_else(|| Self::parse_any(bytes), Ok)
    }

    /// As [`parse`](Self::parse), of what nearly all are: a whole message, unsealed, without an extension. `None` if it is
    /// anything else, or invalid.
    // Always: as a function it passes what it found through memory, a tenth of what a datagram costs.
    #[expect(clippy::inline_always, reason = "measured")]
    #[inline(always)]
    #[must_use]
    pub fn parse_plain(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = Header::ref_from_prefix(bytes).ok()?;
        let datagram = Self { header, kind: Kind::Data, extension: &[], payload };
        let is_plain = datagram.is_plain()
            && payload.len() == usize::from(header.payload_len.get())
            && datagram.check_numbers().is_ok();
        is_plain.then_some(datagram)
    }

    fn parse_any(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| Refusal::TooShort)?;
        if header.version_kind >> 4 != VERSION {
            return Err(Refusal::Version);
        }
        let kind = Kind::from_nibble(header.version_kind & 0x0f).ok_or(Refusal::Kind)?;
        if header.flags & flags::RESERVED != 0 || header.path & path::RESERVED != 0 {
            return Err(Refusal::ReservedBits);
        }
        let (extension, rest) =
            if header.flags & flags::EXTENDED != 0 { extension::split(rest)? } else { (&[][..], rest) };
        let tag = if header.flags & flags::SEALED != 0 { TAG_LEN } else { 0 };
        let payload_len = usize::from(header.payload_len.get());
        if rest.len() != payload_len + tag {
            return Err(Refusal::PayloadLength);
        }
        let datagram = Self { header, kind, extension, payload: &rest[..payload_len] };
        datagram.check_demands()?;
        Ok(datagram)
    }

    /// What the type demands.
    #[inline]
    fn check_demands(&self) -> Result<(), Refusal> {
        extension::check(self.extension)?;
        if (self.header.flags & flags::SEALED != 0) != (self.header.key_id != 0) {
            return Err(Refusal::Sealed);
        }
        self.check_numbers()?;
        self.check_parts()?;
        match self.kind {
            Kind::Data | Kind::Parity | Kind::Report => Ok(()),
            Kind::Heartbeat | Kind::End if self.payload.is_empty() => Ok(()),
            Kind::Heartbeat | Kind::End => Err(Refusal::Body),
            Kind::Nak => body::nak(self.payload).map(drop),
            Kind::Response => body::response(self.payload).map(drop),
            Kind::Ack => body::ack(self.payload).map(drop),
        }
    }

    #[inline]
    fn check_numbers(&self) -> Result<(), Refusal> {
        if self.seq() == 0 && !matches!(self.kind, Kind::Heartbeat | Kind::End) {
            return Err(Refusal::Sequence);
        }
        // 44 bits of milliseconds in nanoseconds fit in 64.
        if self.session().start_ms() * 1_000_000 > self.timestamp() {
            return Err(Refusal::SessionAfterTimestamp);
        }
        Ok(())
    }

    /// Whole, one fragment of several, or several messages.
    #[inline]
    fn check_parts(&self) -> Result<(), Refusal> {
        let (index, count) = (self.header.index.get(), self.header.frag_count.get());
        let parted = self.header.flags & (flags::FRAGMENT | flags::COALESCED);
        if parted == 0 {
            return if index == 0 && count == 1 { Ok(()) } else { Err(Refusal::Fragment) };
        }
        if self.kind != Kind::Data || parted == flags::FRAGMENT | flags::COALESCED {
            return Err(Refusal::Fragment);
        }
        if parted == flags::COALESCED {
            return if count == 1 {
                body::check_coalesced(self.payload, index)
            } else {
                Err(Refusal::Coalesced)
            };
        }
        if !(2..=FRAGMENTS_MAX).contains(&count) || index >= count {
            return Err(Refusal::Fragment);
        }
        // The message's first sequence is at least 1, and its last one exists.
        let first = self.seq().checked_sub(u64::from(index)).filter(|first| *first >= 1);
        let last = first.and_then(|first| first.checked_add(u64::from(count) - 1));
        last.map(drop).ok_or(Refusal::Fragment)
    }

    /// Header and payload of bytes that [`parse`](Self::parse) has found to be a whole, unsealed message; `None` if
    /// they cannot be.
    #[inline]
    #[must_use]
    pub fn reread(bytes: &'a [u8]) -> Option<(&'a Header, &'a [u8])> {
        let (header, rest) = Header::ref_from_prefix(bytes).ok()?;
        let extension = rest.len().checked_sub(usize::from(header.payload_len.get()))?;
        Some((header, &rest[extension..]))
    }

    /// What it is.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// See [`flags`].
    #[inline]
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.header.flags
    }

    /// The whole header, as it came.
    #[must_use]
    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// Which copy: 0 is the first.
    #[inline]
    #[must_use]
    pub fn copy(&self) -> u8 {
        self.header.path & path::COPY
    }

    /// Whether it was sent because a receiver asked.
    #[inline]
    #[must_use]
    pub fn is_retransmission(&self) -> bool {
        self.header.path & path::RETRANSMISSION != 0
    }

    /// Whether it is the first copy, and was not asked for.
    #[inline]
    pub(crate) fn is_first_copy(&self) -> bool {
        !self.header.is_repeated()
    }

    /// Whether it is a whole message, with nothing in its header that needs a closer look.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        // Four bytes at a time; the long way looks at each field by itself.
        const USUAL: u32 = u32::from_le_bytes([Kind::Data.first_byte(), 0, 0, 0]);
        const ASKED: u32 = u32::from_le_bytes([0xff, !flags::NO_REPAIR, 0xff, path::RESERVED]);
        // Index 0 of 1.
        const WHOLE: u32 = 1 << 16;
        let [first, _, _, parts, ..]: &[U32; HEADER_LEN / 4] = zerocopy::transmute_ref!(self.header);
        first.get() & ASKED == USUAL && parts.get() == WHOLE
    }

    /// Whether its publisher answers requests for repairs.
    #[inline]
    #[must_use]
    pub fn may_be_repaired(&self) -> bool {
        self.header.flags & flags::NO_REPAIR == 0
    }

    /// Whether its payload is several messages: see [`body::coalesced`].
    #[inline]
    #[must_use]
    pub fn is_coalesced(&self) -> bool {
        self.header.flags & flags::COALESCED != 0
    }

    /// How many messages it brings: one, unless they share it. (A fragment brings a part of one.)
    #[inline]
    #[must_use]
    pub fn messages(&self) -> u16 {
        if self.is_coalesced() { self.header.index.get() } else { 1 }
    }

    /// Which part of its message it is, of how many; (0, 1) is a whole one, or several.
    #[inline]
    #[must_use]
    pub fn fragment(&self) -> (u16, u16) {
        if self.header.flags & flags::FRAGMENT == 0 {
            return (0, 1);
        }
        (self.header.index.get(), self.header.frag_count.get())
    }

    /// The publisher's stable name.
    #[inline]
    #[must_use]
    pub fn publisher(&self) -> u32 {
        self.header.publisher.get()
    }

    /// The stream within the publisher.
    #[inline]
    #[must_use]
    pub fn stream(&self) -> u16 {
        self.header.stream.get()
    }

    /// Which run of the publisher.
    #[inline]
    #[must_use]
    pub fn session(&self) -> Session {
        Session::from_bits(self.header.session.get())
    }

    /// The sequence within (session, stream).
    #[inline]
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.header.seq.get()
    }

    /// Nanoseconds since the Unix epoch at publish.
    #[inline]
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.header.timestamp.get()
    }

    /// The extension with its length field; empty when there is none.
    #[must_use]
    pub fn extension(&self) -> &'a [u8] {
        self.extension
    }

    /// The payload, without extension and tag.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

#[cfg(test)]
mod tests;
