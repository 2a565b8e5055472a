use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::body::{Ack, NakEntry, NakHead, ResponseHead};
use crate::header::HEADER_LEN;
use crate::{Now, Sequencer};

mod exhaustive;

/// A valid DATA datagram that carries `payload`.
fn data(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    bytes.extend_from_slice(payload);
    let now = Now { mono_ns: 0, unix_ns: 5_000_000_000 };
    let mut sequencer = Sequencer::new(7, Session::new(5_000, 1), 0);
    for _ in 0..2_000 {
        sequencer.count();
    }
    sequencer.seal(&mut bytes, now);
    bytes
}

/// A valid datagram of another kind.
fn of_kind(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = data(payload);
    bytes[0] = kind.first_byte();
    bytes
}

fn refusal(bytes: &[u8]) -> Option<Refusal> {
    Datagram::parse(bytes).err()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[test]
fn each_check_names_its_reason() {
    let edit = |at: usize, value: &[u8]| {
        let mut bytes = data(b"payload");
        put(&mut bytes, at, value);
        refusal(&bytes)
    };
    assert_eq!(edit(0, &[0x10]), None);
    assert_eq!(refusal(&data(b"")[..39]), Some(Refusal::TooShort));
    assert_eq!(refusal(&[]), Some(Refusal::TooShort));
    assert_eq!(edit(0, &[0x20]), Some(Refusal::Version));
    assert_eq!(edit(0, &[0x00]), Some(Refusal::Version));
    for nibble in 8..16 {
        assert_eq!(edit(0, &[0x10 | nibble]), Some(Refusal::Kind));
    }
    for flag in [0x20, 0x40, 0x80] {
        assert_eq!(edit(1, &[flag]), Some(Refusal::ReservedBits));
    }
    assert_eq!(edit(3, &[0x80]), Some(Refusal::ReservedBits));
    assert_eq!(edit(3, &[0x7f]), None);
    assert_eq!(edit(6, &6u16.to_le_bytes()), Some(Refusal::PayloadLength));
    assert_eq!(edit(6, &8u16.to_le_bytes()), Some(Refusal::PayloadLength));
    assert_eq!(edit(2, &[1]), Some(Refusal::Sealed));
    assert_eq!(edit(24, &0u64.to_le_bytes()), Some(Refusal::Sequence));
    assert_eq!(edit(32, &4_999_999_999u64.to_le_bytes()), Some(Refusal::SessionAfterTimestamp));
    assert_eq!(edit(14, &0u16.to_le_bytes()), Some(Refusal::Fragment));
    assert_eq!(edit(14, &2u16.to_le_bytes()), Some(Refusal::Fragment));
    assert_eq!(edit(12, &1u16.to_le_bytes()), Some(Refusal::Fragment));
}

#[test]
fn a_seal_needs_a_key_and_room_for_its_tag() {
    let mut bytes = data(b"payload");
    put(&mut bytes, 1, &[flags::SEALED]);
    assert_eq!(refusal(&bytes), Some(Refusal::PayloadLength));
    bytes.extend_from_slice(&[0; TAG_LEN]);
    assert_eq!(refusal(&bytes), Some(Refusal::Sealed));
    put(&mut bytes, 2, &[9]);
    assert_eq!(refusal(&bytes), None);
    assert_eq!(Datagram::parse(&bytes).expect("valid").payload(), b"payload");
}

#[test]
fn fragments_must_be_possible() {
    let fragment = |index: u16, count: u16, seq: u64| {
        let mut bytes = data(b"part");
        put(&mut bytes, 1, &[flags::FRAGMENT]);
        put(&mut bytes, 12, &index.to_le_bytes());
        put(&mut bytes, 14, &count.to_le_bytes());
        put(&mut bytes, 24, &seq.to_le_bytes());
        refusal(&bytes)
    };
    assert_eq!(fragment(0, 2, 1), None);
    assert_eq!(fragment(1023, 1024, 1024), None);
    assert_eq!(fragment(0, 1, 1), Some(Refusal::Fragment));
    assert_eq!(fragment(0, 0, 1), Some(Refusal::Fragment));
    assert_eq!(fragment(0, 1025, 1), Some(Refusal::Fragment));
    assert_eq!(fragment(2, 2, 9), Some(Refusal::Fragment));
    assert_eq!(fragment(1, 2, 1), Some(Refusal::Fragment), "the message would start at 0");
    assert_eq!(
        fragment(0, 2, u64::MAX),
        Some(Refusal::Fragment),
        "the message would end past the last sequence"
    );
    assert_eq!(fragment(1, 2, u64::MAX), None);
}

#[test]
fn a_datagram_is_not_a_fragment_and_coalesced_at_once() {
    let mut bytes = data(&[0, 0]);
    put(&mut bytes, 1, &[flags::FRAGMENT | flags::COALESCED]);
    assert_eq!(refusal(&bytes), Some(Refusal::Fragment));
}

#[test]
fn a_coalesced_payload_is_exactly_its_messages() {
    let coalesced = |count: u16, payload: &[u8]| {
        let mut bytes = data(payload);
        put(&mut bytes, 1, &[flags::COALESCED]);
        put(&mut bytes, 12, &count.to_le_bytes());
        refusal(&bytes)
    };
    let two = [2, 0, b'h', b'i', 0, 0];
    assert_eq!(coalesced(2, &two), None);
    assert_eq!(coalesced(1, &two), Some(Refusal::Coalesced));
    assert_eq!(coalesced(3, &two), Some(Refusal::Coalesced));
    assert_eq!(coalesced(0, &[]), Some(Refusal::Coalesced));
    assert_eq!(coalesced(2, &two[..5]), Some(Refusal::Coalesced));
    let messages: Vec<_> = body::coalesced(&two).collect();
    assert_eq!(messages, [&b"hi"[..], b""]);
}

#[test]
fn an_extension_is_skipped_only_if_it_may_be() {
    let extended = |extension: &[u8]| {
        let mut bytes = data(b"payload");
        put(&mut bytes, 1, &[flags::EXTENDED]);
        bytes.splice(HEADER_LEN..HEADER_LEN, extension.iter().copied());
        (refusal(&bytes), Datagram::parse(&bytes).map(|d| d.payload() == b"payload"))
    };
    assert_eq!(extended(&[8, 0, 0x80, 1, 1, 2, 3, 4]), (None, Ok(true)));
    assert_eq!(extended(&[8, 0, 0x80, 0, 0x81, 0, 0x82, 0]), (None, Ok(true)));
    assert_eq!(
        extended(&[8, 0, 0x01, 1, 1, 2, 3, 4]).0,
        Some(Refusal::Extension),
        "unknown and not ignorable"
    );
    assert_eq!(extended(&[8, 0, 0x80, 2, 1, 2, 3, 4]).0, Some(Refusal::Extension), "an entry past the end");
    assert_eq!(extended(&[0, 0]).0, Some(Refusal::Extension), "no length");
    assert_eq!(extended(&[6, 0, 0x80, 0, 0x80, 0]).0, Some(Refusal::Extension), "not a multiple of 8");
    assert_eq!(extended(&[0xf8, 0xff]).0, Some(Refusal::PayloadLength), "longer than the datagram");
}

#[test]
fn what_the_kinds_demand_is_checked() {
    assert_eq!(refusal(&of_kind(Kind::Heartbeat, b"")), None);
    assert_eq!(refusal(&of_kind(Kind::Heartbeat, b"x")), Some(Refusal::Body));
    assert_eq!(refusal(&of_kind(Kind::End, b"x")), Some(Refusal::Body));
    let mut fresh = of_kind(Kind::End, b"");
    put(&mut fresh, 24, &0u64.to_le_bytes());
    assert_eq!(refusal(&fresh), None, "an end may say that nothing was sent");

    let head = |count: u16| NakHead {
        publisher: 1.into(),
        stream: 0.into(),
        count: count.into(),
        session: 2.into(),
    };
    let entry = |base: u64, bitmap: u64| NakEntry { base: base.into(), bitmap: bitmap.into() };
    let nak = |count: u16, entries: &[NakEntry]| {
        refusal(&of_kind(Kind::Nak, &[head(count).as_bytes(), entries.as_bytes()].concat()))
    };
    assert_eq!(nak(1, &[entry(5, 3)]), None);
    assert_eq!(nak(16, &[entry(5, 3); 16]), None);
    assert_eq!(nak(17, &[entry(5, 3); 17]), Some(Refusal::Body));
    assert_eq!(nak(0, &[]), Some(Refusal::Body));
    assert_eq!(nak(2, &[entry(5, 3)]), Some(Refusal::Body));
    assert_eq!(nak(1, &[entry(0, 3)]), Some(Refusal::Body));
    assert_eq!(nak(1, &[entry(u64::MAX, 0)]), None);
    assert_eq!(nak(1, &[entry(u64::MAX, 1)]), Some(Refusal::Body));

    let response = |part: u16, seq: u64| {
        let head = ResponseHead {
            publisher: 1.into(),
            stream: 0.into(),
            part: part.into(),
            session: 2.into(),
            seq: seq.into(),
        };
        refusal(&of_kind(Kind::Response, &[head.as_bytes(), b"result"].concat()))
    };
    assert_eq!(response(0, 1), None);
    assert_eq!(response(u16::MAX, 1), None, "any message of a datagram");
    assert_eq!(response(0, 0), Some(Refusal::Body));
    assert_eq!(response(1, 0), Some(Refusal::Body));

    let ack =
        Ack { publisher: 1.into(), zero: 0.into(), session: 2.into(), next: 3.into(), bitmap: 0.into() };
    assert_eq!(refusal(&of_kind(Kind::Ack, ack.as_bytes())), None);
    assert_eq!(refusal(&of_kind(Kind::Ack, &ack.as_bytes()[1..])), Some(Refusal::Body));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn whatever_parses_is_made_of_its_parts(edits in proptest::collection::vec((0usize..48, any::<u8>()), 0..4),
                                            payload in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut bytes = data(&payload);
        for (at, value) in edits {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if let Ok(datagram) = Datagram::parse(&bytes) {
            let again = [datagram.header().as_bytes(), datagram.extension(), datagram.payload()].concat();
            prop_assert_eq!(&bytes[..again.len()], &again[..]);
        }
    }
}
