//! What parses is exactly what the wire format allows, and its parts make the same bytes again.
//!
//! The reference below follows the table "What a receiver checks" of `docs/wire-format.md` row by row,
//! without a thought for speed and without the types of the decoder.

use headcast_proto::header::{HEADER_LEN, PATH_OFFSET, TAG_LEN, flags};
use headcast_proto::response::Subject;
use headcast_proto::{Datagram, Kind, Refusal, Session, StreamId, body, response};

use crate::encode::Fields;

pub(crate) fn check(bytes: &[u8]) {
    let parsed = Datagram::parse(bytes);
    assert_eq!(parsed.map(drop), reference(bytes), "the decoder and its reference");
    let Ok(datagram) = parsed else { return };
    borrows(&datagram, bytes);
    assert_eq!(encode(&datagram, bytes), bytes, "encoded again");
    names_sequences(&datagram);
    responds(&datagram, bytes);
    only_the_path_may_change(&datagram, bytes);

    // Its length is its own: neither less nor more is a datagram.
    assert!(Datagram::parse(&bytes[..bytes.len() - 1]).is_err());
    assert_eq!(Datagram::parse(&[bytes, &[0]].concat()).map(drop), Err(Refusal::PayloadLength));
}

/// Not equal slices, the same ones: nothing was copied.
fn borrows(datagram: &Datagram<'_>, bytes: &[u8]) {
    let (extension, payload) = (datagram.extension(), datagram.payload());
    let body = &bytes[HEADER_LEN..];
    assert!(std::ptr::eq(datagram.header(), bytes.as_ptr().cast()));
    assert!(std::ptr::eq(extension, &body[..extension.len()]) || extension.is_empty());
    assert!(std::ptr::eq(payload, &body[extension.len()..][..payload.len()]));
}

/// The bytes again, from what was parsed of them; only the tag, which means nothing here, is copied.
fn encode(datagram: &Datagram<'_>, bytes: &[u8]) -> Vec<u8> {
    let header = datagram.header();
    let tag = if datagram.flags() & flags::SEALED != 0 { TAG_LEN } else { 0 };
    let (mut payload, (mut index, count)) = (payload_of(datagram), datagram.fragment());
    if datagram.flags() & flags::COALESCED != 0 {
        let messages: Vec<_> = body::coalesced(datagram.payload()).collect();
        index = u16::try_from(messages.len()).expect("each has a length of two bytes");
        payload.clear();
        for message in messages {
            let len = u16::try_from(message.len()).expect("under 64 KiB");
            payload.extend([&len.to_le_bytes(), message].concat());
        }
    }
    Fields {
        kind: datagram.kind() as u8,
        flags: datagram.flags(),
        key_id: header.key_id,
        copy: datagram.copy(),
        retransmission: datagram.is_retransmission(),
        hops: header.path >> 4,
        stream: datagram.stream(),
        publisher: datagram.publisher(),
        index,
        count,
        session: datagram.session().to_bits(),
        seq: datagram.seq(),
        timestamp: datagram.timestamp(),
        extension: datagram.extension(),
        payload: &payload,
        tag: &bytes[bytes.len() - tag..],
    }
    .bytes()
}

/// The payload, from what its kind says that it is.
fn payload_of(datagram: &Datagram<'_>) -> Vec<u8> {
    let payload = datagram.payload();
    match datagram.kind() {
        Kind::Nak => {
            let (head, entries) = body::nak(payload).expect("a repair request");
            let count = u16::try_from(entries.len()).expect("at most 16");
            let mut bytes = [
                &head.publisher.get().to_le_bytes()[..],
                &head.stream.get().to_le_bytes(),
                &count.to_le_bytes(),
                &head.session.get().to_le_bytes(),
            ]
            .concat();
            for entry in entries {
                bytes.extend([entry.base.get().to_le_bytes(), entry.bitmap.get().to_le_bytes()].concat());
            }
            bytes
        }
        Kind::Response => {
            let (head, result) = body::response(payload).expect("a response");
            [
                &head.publisher.get().to_le_bytes()[..],
                &head.stream.get().to_le_bytes(),
                &head.part.get().to_le_bytes(),
                &head.session.get().to_le_bytes(),
                &head.seq.get().to_le_bytes(),
                result,
            ]
            .concat()
        }
        Kind::Ack => {
            let ack = body::ack(payload).expect("an ack");
            [
                &ack.publisher.get().to_le_bytes()[..],
                &[0; 4],
                &ack.session.get().to_le_bytes(),
                &ack.next.get().to_le_bytes(),
                &ack.bitmap.get().to_le_bytes(),
            ]
            .concat()
        }
        Kind::Heartbeat | Kind::End => Vec::new(),
        Kind::Data | Kind::Parity | Kind::Report => payload.to_vec(),
    }
}

/// The sequences that a request names exist, and are those of its bases and bits.
fn names_sequences(datagram: &Datagram<'_>) {
    if datagram.kind() != Kind::Nak {
        return;
    }
    let (_, entries) = body::nak(datagram.payload()).expect("a repair request");
    let named: Vec<_> = body::nak_sequences(entries).collect();
    let mut expected = Vec::new();
    for entry in entries {
        expected.push(entry.base.get());
        let bits = (0..64).filter(|bit| entry.bitmap.get() >> bit & 1 == 1);
        expected.extend(bits.map(|bit| entry.base.get() + 1 + bit));
    }
    assert_eq!(named, expected);
}

/// A response is read as the tables of "RESPONSE" say, and nothing else is one; brought up to date, it says
/// that and is otherwise the same.
fn responds(datagram: &Datagram<'_>, bytes: &[u8]) {
    let from = held_from(bytes);
    assert_eq!(response::held_from(datagram), from);
    let read = response::read(datagram);
    if bytes[0] & 15 != 4 {
        assert_eq!(read, None);
        return;
    }
    let extension = if bytes[1] & 8 != 0 { as_len(number(bytes, 40, 2)) } else { 0 };
    let payload = &bytes[40 + extension..][..as_len(number(bytes, 6, 2))];
    let id = StreamId {
        publisher: u32::try_from(number(payload, 0, 4)).expect("four bytes"),
        session: Session::from_bits(number(payload, 8, 8)),
        stream: u16::try_from(number(payload, 4, 2)).expect("two bytes"),
    };
    let part = u16::try_from(number(payload, 6, 2)).expect("two bytes");
    let subject = Subject { id, seq: number(payload, 16, 8), part };
    assert_eq!(read, Some((subject, &payload[24..])));
    if extension == 16 {
        for (from, again) in [(1, false), (datagram.seq(), true)] {
            let mut bytes = bytes.to_vec();
            response::update(&mut bytes, from, again);
            let updated = Datagram::parse(&bytes).expect("valid when it is brought up to date");
            assert_eq!((response::held_from(&updated), updated.is_retransmission()), (from, again));
            assert_eq!(response::read(&updated), read);
            assert_eq!((updated.session(), updated.seq()), (datagram.session(), datagram.seq()));
        }
    }
}

/// What the first entry of type 0x81 with twelve bytes says, if there is one; 0 is taken for 1.
fn held_from(bytes: &[u8]) -> u64 {
    let end = if bytes[1] & 8 != 0 { 40 + as_len(number(bytes, 40, 2)) } else { 0 };
    let mut at = 42;
    while at < end {
        if bytes[at..at + 2] == [0x81, 3] {
            return number(bytes, at + 6, 8).max(1);
        }
        at += 2 + 4 * usize::from(bytes[at + 1]);
    }
    1
}

/// Copies, repairs and relays change the path byte: it parses the same whatever its seven bits are.
fn only_the_path_may_change(datagram: &Datagram<'_>, bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    for path in [0, 1, 2, 3, 4, 5, 6, 7, 0x08, 0x70, 0x7f, bytes[PATH_OFFSET]] {
        bytes[PATH_OFFSET] = path;
        let again = Datagram::parse(&bytes).expect("valid with another path");
        assert_eq!((again.copy(), again.is_retransmission()), (path & 7, path & 8 != 0));
        let same = |d: &Datagram<'_>| (d.kind(), d.flags(), d.publisher(), d.stream(), d.session(), d.seq());
        assert_eq!(same(&again), same(datagram));
        assert_eq!(again.timestamp(), datagram.timestamp());
        assert_eq!((again.extension(), again.payload()), (datagram.extension(), datagram.payload()));
    }
    bytes[PATH_OFFSET] = 0x80;
    assert_eq!(Datagram::parse(&bytes).map(drop), Err(Refusal::ReservedBits));
}

/// The little-endian number of `len` bytes at `at`.
fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes[at..at + len].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn reference(bytes: &[u8]) -> Result<(), Refusal> {
    let refuse_if = |wrong: bool, refusal| if wrong { Err(refusal) } else { Ok(()) };
    refuse_if(bytes.len() < 40, Refusal::TooShort)?;
    let (kind, flags, key, path) = (bytes[0] & 15, bytes[1], bytes[2], bytes[3]);
    refuse_if(bytes[0] >> 4 != 1, Refusal::Version)?;
    refuse_if(kind > 7, Refusal::Kind)?;
    refuse_if(flags & 0xe0 != 0 || path & 0x80 != 0, Refusal::ReservedBits)?;

    let mut extension = 0;
    if flags & 8 != 0 {
        refuse_if(bytes.len() < 42, Refusal::PayloadLength)?;
        extension = as_len(number(bytes, 40, 2));
        refuse_if(extension == 0 || extension % 8 != 0, Refusal::Extension)?;
        refuse_if(bytes.len() < 40 + extension, Refusal::PayloadLength)?;
    }
    let (payload, tag) = (as_len(number(bytes, 6, 2)), if flags & 4 != 0 { 16 } else { 0 });
    refuse_if(bytes.len() != 40 + extension + payload + tag, Refusal::PayloadLength)?;

    let mut at = 42;
    while at < 40 + extension {
        let end = 40 + extension;
        refuse_if(at + 2 > end || bytes[at] < 0x80, Refusal::Extension)?;
        at += 2 + 4 * usize::from(bytes[at + 1]);
        refuse_if(at > end, Refusal::Extension)?;
    }
    refuse_if((flags & 4 != 0) != (key != 0), Refusal::Sealed)?;
    let (session, seq, timestamp) = (number(bytes, 16, 8), number(bytes, 24, 8), number(bytes, 32, 8));
    refuse_if(seq == 0 && kind != 1 && kind != 7, Refusal::Sequence)?;
    refuse_if(timestamp / 1_000_000 < session >> 20, Refusal::SessionAfterTimestamp)?;

    let payload = &bytes[40 + extension..][..payload];
    let (index, count) = (number(bytes, 12, 2), number(bytes, 14, 2));
    match flags & 3 {
        0 => refuse_if(index != 0 || count != 1, Refusal::Fragment)?,
        1 => {
            let first = i128::from(seq) - i128::from(index);
            let last = first + i128::from(count) - 1;
            let possible = (2..=1024).contains(&count) && index < count;
            let exists = first >= 1 && last <= i128::from(u64::MAX);
            refuse_if(kind != 0 || !possible || !exists, Refusal::Fragment)?;
        }
        2 => {
            refuse_if(kind != 0, Refusal::Fragment)?;
            refuse_if(count != 1 || messages(payload) != Some(index), Refusal::Coalesced)?;
        }
        _ => return Err(Refusal::Fragment),
    }
    let fits = match kind {
        1 | 7 => payload.is_empty(),
        3 => is_nak(payload),
        4 => payload.len() >= 24 && number(payload, 16, 8) >= 1,
        5 => payload.len() == 32 && number(payload, 4, 4) == 0,
        _ => true,
    };
    refuse_if(!fits, Refusal::Body)
}

fn as_len(number: u64) -> usize {
    usize::try_from(number).expect("16 bits")
}

/// How many messages a coalesced payload holds, if it is exactly some.
fn messages(payload: &[u8]) -> Option<u64> {
    let (mut at, mut count) = (0, 0);
    while at < payload.len() {
        let len = payload.get(at..at + 2).map(|len| as_len(number(len, 0, 2)))?;
        at += 2 + len;
        count += 1;
    }
    (at == payload.len() && count > 0).then_some(count)
}

fn is_nak(payload: &[u8]) -> bool {
    if payload.len() < 16 {
        return false;
    }
    let count = as_len(number(payload, 6, 2));
    let exists = |entry: &[u8]| {
        let (base, bitmap) = (number(entry, 0, 8), number(entry, 8, 8));
        let last = (0..64u64).rev().find(|bit| bitmap >> bit & 1 == 1).map_or(0, |bit| bit + 1);
        base >= 1 && u128::from(base) + u128::from(last) <= u128::from(u64::MAX)
    };
    (1..=16).contains(&count) && payload.len() == 16 + 16 * count && payload[16..].chunks(16).all(exists)
}
