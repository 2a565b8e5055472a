//! The 40 bytes in front of every datagram.
//!
//! Little-endian and naturally aligned; everything the receiver's fast path reads lies in the first
//! cache line. [`Header`] is the layout itself: its bytes are the wire's bytes.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes in front of the payload of a datagram without extension.
pub const HEADER_LEN: usize = 40;
/// The only version there is.
pub const VERSION: u8 = 1;
/// Bytes of the authentication tag behind a sealed payload.
pub const TAG_LEN: usize = 16;
/// The largest UDP payload over IPv4: 65,535 less 20 (IP) and 8 (UDP).
pub const DATAGRAM_MAX: usize = 65_507;
/// Where the mutable path byte lies.
pub const PATH_OFFSET: usize = 3;
/// The most fragments a message may have.
pub const FRAGMENTS_MAX: u16 = 1024;

/// The fields as they lie on the wire.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// High nibble: version. Low nibble: [`Kind`].
    pub version_kind: u8,
    /// See [`flags`].
    pub flags: u8,
    /// The key that sealed the datagram; 0 = not sealed.
    pub key_id: u8,
    /// Changes on the way, outside any authentication; see [`path`].
    pub path: u8,
    /// Chosen by the publisher.
    pub stream: U16,
    /// Bytes after header and extension, before the tag.
    pub payload_len: U16,
    /// Stable name of the publisher.
    pub publisher: U32,
    /// Which fragment; in a coalesced datagram, how many messages.
    pub index: U16,
    /// Fragments of the message; 1 = whole.
    pub frag_count: U16,
    /// See [`Session`](crate::Session).
    pub session: U64,
    /// Per (session, stream), one per datagram, from 1.
    pub seq: U64,
    /// Nanoseconds since the Unix epoch at publish, strictly increasing within a stream.
    pub timestamp: U64,
}

impl Header {
    /// Whether it is another than the first copy, or was asked for.
    #[inline]
    #[must_use]
    pub const fn is_repeated(&self) -> bool {
        self.path & (path::COPY | path::RETRANSMISSION) != 0
    }
}

const _: () = assert!(size_of::<Header>() == HEADER_LEN);
const _: () = assert!(std::mem::offset_of!(Header, path) == PATH_OFFSET);
const _: () = assert!(std::mem::offset_of!(Header, session) == 16);
const _: () = assert!(std::mem::offset_of!(Header, timestamp) == 32);

/// What a datagram is: the low nibble of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A message, a fragment of one, or several.
    Data = 0,
    /// Nothing new; `seq` is the last one sent.
    Heartbeat = 1,
    /// Forward error correction.
    Parity = 2,
    /// A receiver asks for repairs.
    Nak = 3,
    /// A receiver's answer to a message.
    Response = 4,
    /// Responses are stored.
    Ack = 5,
    /// A receiver tells how it fares.
    Report = 6,
    /// The publisher stops; `seq` as in a heartbeat.
    End = 7,
}

impl Kind {
    /// The kind of a low nibble, if it is one.
    #[inline]
    #[must_use]
    pub const fn from_nibble(nibble: u8) -> Option<Self> {
        Some(match nibble {
            0 => Self::Data,
            1 => Self::Heartbeat,
            2 => Self::Parity,
            3 => Self::Nak,
            4 => Self::Response,
            5 => Self::Ack,
            6 => Self::Report,
            7 => Self::End,
            _ => return None,
        })
    }

    /// The first byte of a datagram of this kind.
    #[inline]
    #[must_use]
    pub const fn first_byte(self) -> u8 {
        VERSION << 4 | self as u8
    }
}

/// Bits of the second byte. All others are reserved: set, they make the datagram invalid.
pub mod flags {
    /// One of several fragments of a message.
    pub const FRAGMENT: u8 = 0x01;
    /// Several messages in one datagram.
    pub const COALESCED: u8 = 0x02;
    /// A tag follows the payload.
    pub const SEALED: u8 = 0x04;
    /// An extension follows the header.
    pub const EXTENDED: u8 = 0x08;
    /// Do not ask for a repair of this one.
    pub const NO_REPAIR: u8 = 0x10;
    /// Must be zero.
    pub const RESERVED: u8 = !(FRAGMENT | COALESCED | SEALED | EXTENDED | NO_REPAIR);
}

/// Bits of the path byte.
pub mod path {
    /// Which copy: 0 is the first.
    pub const COPY: u8 = 0x07;
    /// Sent because a receiver asked.
    pub const RETRANSMISSION: u8 = 0x08;
    /// How many relays it passed (bits 4 to 6).
    pub const HOPS: u8 = 0x70;
    /// Must be zero.
    pub const RESERVED: u8 = 0x80;
}
