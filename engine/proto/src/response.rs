//! A response on the wire, and its acknowledgement.
//!
//! ```text
//!   0        40                            56                        80
//!   | header | extension: what is held     | which message           | result ...
//!            | u16 16 | u8 0x81 | u8 3 |   | u32 publisher, u16      |
//!            | u32 0  | u64 held from      | stream, u16 part, u64   |
//!            |                             | session, u64 seq        |
//! ```
//!
//! A responder says with every response from which one on it still holds them. So a recorder that does not
//! know it, because the database is another one, knows where to begin: what lies below was acknowledged
//! by another, and will never come.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::body::{self, Ack, ResponseHead};
use crate::header::{DATAGRAM_MAX, HEADER_LEN, Kind, PATH_OFFSET, flags, path};
use crate::{Datagram, Now, Sequencer, StreamId};

/// The entry's type: whoever does not know it ignores it.
const HELD_FROM: u8 = 0x81;
/// The length of its value, in units of 4 bytes.
const HELD_UNITS: u8 = 3;
const HELD_LEN: usize = size_of::<Held>();
const HEAD_LEN: usize = size_of::<ResponseHead>();

/// Bytes in front of the result.
pub const RESPONSE_ROOM: usize = HEADER_LEN + HELD_LEN + HEAD_LEN;
/// The longest result in bytes.
pub const RESULT_MAX: usize = DATAGRAM_MAX - RESPONSE_ROOM;
/// Bytes of an acknowledgement.
pub const ACK_LEN: usize = HEADER_LEN + size_of::<Ack>();

/// The message that a response answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subject {
    /// The stream that it was published on.
    pub id: StreamId,
    /// Its sequence there, from 1; of a message in several datagrams, that of the first.
    pub seq: u64,
    /// Which message of its datagram it is, from 0; 0 for one that came alone.
    pub part: u16,
}

/// The whole extension.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Held {
    length: zerocopy::little_endian::U16,
    kind: u8,
    units: u8,
    zero: U32,
    from: U64,
}

/// Makes `datagram`, whose result lies behind [`RESPONSE_ROOM`], the responder's next response: to `subject`. Returns
/// its sequence.
///
/// # Panics
/// If `datagram` is shorter than the room or longer than a datagram can be.
pub fn seal(sequencer: &mut Sequencer, datagram: &mut [u8], now: Now, subject: Subject) -> u64 {
    let Subject { id, seq, part } = subject;
    let head = ResponseHead {
        publisher: id.publisher.into(),
        stream: id.stream.into(),
        part: part.into(),
        session: id.session.to_bits().into(),
        seq: seq.into(),
    };
    let (_, rest) = datagram.split_at_mut(HEADER_LEN);
    let (held, rest) = rest.split_at_mut(HELD_LEN);
    rest[..HEAD_LEN].copy_from_slice(head.as_bytes());
    held.copy_from_slice(extension(1).as_bytes());
    sequencer.seal_behind(datagram, now, Kind::Response, flags::EXTENDED, HELD_LEN)
}

/// Whether a recorder stores responses to messages of this sequence. Databases count in 63 bits, so it does not if the session
/// (which would start after the year 2248) or the sequence is larger, or the sequence is 0, which no message has.
/// Nobody may send others: they would never be acknowledged, nor in the end what comes after them.
#[must_use]
pub fn is_storable(subject: StreamId, seq: u64) -> bool {
    let fits = |number: u64| i64::try_from(number).is_ok();
    fits(subject.session.to_bits()) && fits(seq) && seq >= 1
}

/// Brings a sealed response up to date before it goes out: from where on responses are held, and whether it
/// has been sent before.
///
/// # Panics
/// If it is shorter than [`RESPONSE_ROOM`].
pub fn update(datagram: &mut [u8], held_from: u64, again: bool) {
    datagram[PATH_OFFSET] = if again { path::RETRANSMISSION } else { 0 };
    datagram[HEADER_LEN..HEADER_LEN + HELD_LEN].copy_from_slice(extension(held_from).as_bytes());
}

fn extension(from: u64) -> Held {
    let length = u16::try_from(HELD_LEN).unwrap_or(0);
    Held { length: length.into(), kind: HELD_FROM, units: HELD_UNITS, zero: 0.into(), from: from.into() }
}

/// From where on the responder of a response holds others; 1 if it does not say.
#[must_use]
pub fn held_from(response: &Datagram<'_>) -> u64 {
    let mut entries = response.extension().get(2..).unwrap_or_default();
    // A datagram's extension has been checked: the entries fill it.
    while let [kind, units, rest @ ..] = entries {
        let Some((value, rest)) = rest.split_at_checked(usize::from(*units) * 4) else { break };
        if (*kind, *units) == (HELD_FROM, HELD_UNITS) {
            return value.last_chunk::<8>().map_or(1, |bytes| u64::from_le_bytes(*bytes)).max(1);
        }
        entries = rest;
    }
    1
}

/// The message that a response answers, and the result; `None` if it is no response.
#[must_use]
pub fn read<'a>(response: &Datagram<'a>) -> Option<(Subject, &'a [u8])> {
    if response.kind() != Kind::Response {
        return None;
    }
    let (head, result) = body::response(response.payload()).ok()?;
    let id = StreamId {
        publisher: head.publisher.get(),
        session: crate::Session::from_bits(head.session.get()),
        stream: head.stream.get(),
    };
    Some((Subject { id, seq: head.seq.get(), part: head.part.get() }, result))
}

/// Writes an acknowledgement to the responder of this publisher's number and session.
pub fn seal_ack(
    sequencer: &mut Sequencer,
    datagram: &mut [u8; ACK_LEN],
    now: Now,
    responder: (u32, u64),
    (next, bitmap): (u64, u64),
) {
    let (publisher, session) = responder;
    let ack = Ack {
        publisher: publisher.into(),
        zero: 0.into(),
        session: session.into(),
        next: next.into(),
        bitmap: bitmap.into(),
    };
    datagram[HEADER_LEN..].copy_from_slice(ack.as_bytes());
    sequencer.seal_behind(datagram, now, Kind::Ack, 0, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Session, body};

    const NOW: Now = Now { mono_ns: 0, unix_ns: 9_000_000 };

    #[test]
    fn a_response_is_read_as_it_was_sealed_and_brought_up_to_date() {
        let mut sequencer = Sequencer::new(7, Session::new(5, 9), 0);
        let id = StreamId { publisher: 3, session: Session::from_bits(0x1234), stream: 2 };
        for (part, result) in [(0, &b""[..]), (1, b"stored"), (u16::MAX, &[0xff; 1300])] {
            let subject = Subject { id, seq: 77, part };
            let mut datagram = vec![0; RESPONSE_ROOM];
            datagram.extend(result);
            let seq = seal(&mut sequencer, &mut datagram, NOW, subject);
            for (from, again) in [(1, false), (seq, true), (u64::MAX, false)] {
                update(&mut datagram, from, again);
                let parsed = Datagram::parse(&datagram).expect("valid");
                assert_eq!((parsed.publisher(), parsed.session()), (7, Session::new(5, 9)));
                assert_eq!((parsed.seq(), parsed.is_retransmission()), (seq, again));
                assert_eq!(held_from(&parsed), from);
                assert_eq!(read(&parsed), Some((subject, result)));
            }
        }
        assert_eq!(sequencer.last_seq(), 3);
    }

    #[test]
    fn a_response_without_the_extension_holds_from_the_first() {
        let mut datagram = vec![0; HEADER_LEN + HEAD_LEN];
        datagram[HEADER_LEN + 16] = 1;
        Sequencer::new(7, Session::new(5, 9), 0).seal_behind(&mut datagram, NOW, Kind::Response, 0, 0);
        let parsed = Datagram::parse(&datagram).expect("valid");
        assert_eq!(held_from(&parsed), 1);
        assert_eq!(read(&parsed).map(|(subject, _)| (subject.seq, subject.part)), Some((1, 0)));
    }

    #[test]
    fn what_no_database_can_count_is_not_storable() {
        let subject = |session| StreamId { publisher: 3, session: Session::from_bits(session), stream: 2 };
        let most = u64::MAX >> 1;
        assert!(is_storable(subject(0), 1) && is_storable(subject(most), most));
        assert!(
            !is_storable(subject(0), 0)
                && !is_storable(subject(most + 1), 1)
                && !is_storable(subject(0), most + 1)
        );
    }

    #[test]
    fn an_acknowledgement_is_read_as_it_was_sealed() {
        let mut datagram = [0; ACK_LEN];
        seal_ack(&mut Sequencer::new(1, Session::new(5, 0), 0), &mut datagram, NOW, (7, 8), (9, 10));
        let parsed = Datagram::parse(&datagram).expect("valid");
        assert_eq!((parsed.kind(), parsed.seq()), (Kind::Ack, 1));
        let ack = body::ack(parsed.payload()).expect("an acknowledgement");
        assert_eq!((ack.publisher.get(), ack.session.get()), (7, 8));
        assert_eq!((ack.next.get(), ack.bitmap.get()), (9, 10));
    }
}
