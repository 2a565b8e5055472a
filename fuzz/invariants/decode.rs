//! What parses is exactly what the wire format allows, and is made of its parts.
//!
//! The reference below follows the table "What a receiver checks" of `docs/wire-format.md` row by row,
//! without a thought for speed and without the types of the decoder.

use headcast_proto::header::{HEADER_LEN, PATH_OFFSET, TAG_LEN, flags};
use headcast_proto::{Datagram, Kind, Refusal, body};

pub(crate) fn check(bytes: &[u8]) {
    let parsed = Datagram::parse(bytes);
    assert_eq!(parsed.map(drop), reference(bytes), "the decoder and its reference");
    let Ok(datagram) = parsed else { return };
    is_made_of_its_parts(&datagram, bytes);
    body_reads(&datagram);
    only_the_path_may_change(&datagram, bytes);

    // Its length is its own: neither less nor more is a datagram.
    assert!(Datagram::parse(&bytes[..bytes.len() - 1]).is_err());
    assert_eq!(Datagram::parse(&[bytes, &[0]].concat()).map(drop), Err(Refusal::PayloadLength));
}

fn is_made_of_its_parts(datagram: &Datagram<'_>, bytes: &[u8]) {
    let tag = if datagram.flags() & flags::SEALED != 0 { TAG_LEN } else { 0 };
    let (extension, payload) = (datagram.extension(), datagram.payload());
    assert_eq!(HEADER_LEN + extension.len() + payload.len() + tag, bytes.len());
    let (body, _tag) = bytes[HEADER_LEN..].split_at(extension.len() + payload.len());
    // Not equal slices, the same ones: nothing was copied.
    assert!(std::ptr::eq(datagram.header(), bytes.as_ptr().cast()));
    assert!(std::ptr::eq(extension, &body[..extension.len()]) || extension.is_empty());
    assert!(std::ptr::eq(payload, &body[extension.len()..]));

    assert_eq!(datagram.kind().first_byte(), bytes[0]);
    assert_eq!(datagram.flags(), bytes[1]);
    assert_eq!((datagram.copy(), datagram.is_retransmission()), (bytes[3] & 7, bytes[3] & 8 != 0));
    assert_eq!(u64::from(datagram.stream()), number(bytes, 4, 2));
    assert_eq!(u64::from(datagram.publisher()), number(bytes, 8, 4));
    assert_eq!(datagram.session().to_bits(), number(bytes, 16, 8));
    assert_eq!((datagram.seq(), datagram.timestamp()), (number(bytes, 24, 8), number(bytes, 32, 8)));
}

/// What the kind or the flags promise of the payload is there.
fn body_reads(datagram: &Datagram<'_>) {
    let payload = datagram.payload();
    if datagram.flags() & flags::COALESCED != 0 {
        let messages: Vec<_> = body::coalesced(payload).collect();
        assert_eq!(messages.len(), usize::from(datagram.header().index.get()));
        assert_eq!(messages.iter().map(|message| 2 + message.len()).sum::<usize>(), payload.len());
    }
    match datagram.kind() {
        Kind::Nak => {
            let (head, entries) = body::nak(payload).expect("a repair request");
            assert_eq!(entries.len(), usize::from(head.count.get()));
            for entry in entries {
                // The sequences that it names can be counted without an overflow.
                let named = (0..64).filter(|bit| entry.bitmap.get() >> bit & 1 == 1);
                assert!(named.map(|bit| entry.base.get() + 1 + bit).all(|seq| seq > entry.base.get()));
            }
        }
        Kind::Response => {
            let (head, result) = body::response(payload).expect("a response");
            assert_eq!((head.zero.get(), size_of_val(head) + result.len()), (0, payload.len()));
        }
        Kind::Ack => assert_eq!(size_of_val(body::ack(payload).expect("an ack")), payload.len()),
        Kind::Heartbeat | Kind::End => assert!(payload.is_empty()),
        Kind::Data | Kind::Parity | Kind::Report => {}
    }
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
        4 => payload.len() >= 24 && number(payload, 6, 2) == 0 && number(payload, 16, 8) >= 1,
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
