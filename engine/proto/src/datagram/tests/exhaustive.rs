//! Every value of the fields with which the parser calculates, where there are few enough.

use super::*;

fn set_len(bytes: &mut [u8], len: u16) {
    bytes[6..8].copy_from_slice(&len.to_le_bytes());
}

#[test]
fn every_payload_length_is_compared_with_every_short_datagram() {
    for tag in [0, TAG_LEN] {
        let mut bytes = [data(&[0; 60]), vec![0; TAG_LEN]].concat();
        if tag > 0 {
            put(&mut bytes, 1, &[flags::SEALED, 1]);
        }
        for len in 0..=100 {
            for payload_len in 0..=u16::MAX {
                set_len(&mut bytes, payload_len);
                let expected = match len {
                    ..HEADER_LEN => Some(Refusal::TooShort),
                    _ if HEADER_LEN + usize::from(payload_len) + tag == len => None,
                    _ => Some(Refusal::PayloadLength),
                };
                assert_eq!(refusal(&bytes[..len]), expected, "{payload_len} in {len} bytes");
            }
        }
    }
}

#[test]
fn every_extension_length_is_compared_with_every_short_datagram() {
    let mut bytes = data(&[0x80; 80]);
    bytes[1] = flags::EXTENDED;
    for len in HEADER_LEN..=bytes.len() {
        for extension in 0..=u16::MAX {
            let rest = len - HEADER_LEN;
            let payload = rest.checked_sub(extension.into());
            bytes[HEADER_LEN..HEADER_LEN + 2].copy_from_slice(&extension.to_le_bytes());
            set_len(&mut bytes, u16::try_from(payload.unwrap_or(0)).expect("under 100"));
            let expected = match payload {
                _ if rest < 2 => Some(Refusal::PayloadLength),
                _ if extension == 0 || extension % 8 != 0 => Some(Refusal::Extension),
                None => Some(Refusal::PayloadLength),
                // One entry of 4 x 0x80 bytes, which is longer than the extension.
                Some(_) => Some(Refusal::Extension),
            };
            assert_eq!(refusal(&bytes[..len]), expected, "{extension} in {rest} bytes");
        }
    }
}

#[test]
fn every_entry_of_an_extension_of_16_bytes_ends_within_it_or_is_refused() {
    for kind in 0..=u8::MAX {
        for units in 0..=u8::MAX {
            let mut bytes = data(&[]);
            bytes[1] = flags::EXTENDED;
            bytes.extend([16, 0, kind, units]);
            bytes.extend([0x80, 0].repeat(6));
            // What follows the first entry is more entries without a value.
            let fits = kind >= 0x80 && usize::from(units) * 4 <= 12;
            assert_eq!(refusal(&bytes).is_none(), fits, "kind {kind}, {units} units");
        }
    }
}

#[test]
fn every_first_and_second_byte_has_the_verdict_of_the_first_check_that_fails() {
    for (key, path) in [(0, 0), (0, 0x7f), (0, 0x80), (0, 0xff), (1, 0)] {
        let mut bytes = data(&[]);
        put(&mut bytes, 2, &[key, path]);
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                bytes[0] = first;
                bytes[1] = second;
                let parts = second & (flags::FRAGMENT | flags::COALESCED);
                let expected = match (first >> 4, first & 15) {
                    (version, _) if version != 1 => Some(Refusal::Version),
                    (_, 8..) => Some(Refusal::Kind),
                    _ if second & 0xe0 != 0 || path & 0x80 != 0 => Some(Refusal::ReservedBits),
                    // Neither an extension nor a tag is there.
                    _ if second & (flags::EXTENDED | flags::SEALED) != 0 => Some(Refusal::PayloadLength),
                    _ if key != 0 => Some(Refusal::Sealed),
                    // No message is in parts of which there is one, and none is coalesced of nothing.
                    (_, 0) if parts == flags::COALESCED => Some(Refusal::Coalesced),
                    _ if parts != 0 => Some(Refusal::Fragment),
                    (_, 3..=5) => Some(Refusal::Body),
                    _ => None,
                };
                assert_eq!(refusal(&bytes), expected, "{first:#04x} {second:#04x}");
            }
        }
    }
}

#[test]
fn every_part_of_every_count_near_the_limits_exists_or_is_refused() {
    let near = [0, 1, 2, 3, 1_022, 1_023, 1_024, 1_025, u16::MAX];
    let ends = [u64::MAX - 1_024, u64::MAX - 1_023, u64::MAX - 1_022, u64::MAX - 1, u64::MAX];
    let mut bytes = data(b"part");
    bytes[1] = flags::FRAGMENT;
    for seq in [1, 2, 1_023, 1_024, 1_025].into_iter().chain(ends) {
        put(&mut bytes, 24, &seq.to_le_bytes());
        for limit in near {
            for other in 0..=u16::MAX {
                for (index, count) in [(limit, other), (other, limit)] {
                    put(&mut bytes, 12, &index.to_le_bytes());
                    put(&mut bytes, 14, &count.to_le_bytes());
                    let first = i128::from(seq) - i128::from(index);
                    let last = first + i128::from(count) - 1;
                    let valid = (2..=1024).contains(&count)
                        && index < count
                        && first >= 1
                        && last <= i128::from(u64::MAX);
                    assert_eq!(refusal(&bytes).is_none(), valid, "{index} of {count} at {seq}");
                }
            }
        }
    }
}

#[test]
fn every_session_at_the_edge_of_its_timestamp_is_judged_by_the_millisecond() {
    let mut bytes = data(b"");
    for start_ms in [0, 1, 2, 1_000, (1 << 44) - 2, (1 << 44) - 1] {
        put(&mut bytes, 16, &Session::new(start_ms, 0).to_bits().to_le_bytes());
        let edge = start_ms * 1_000_000;
        for timestamp in [0, edge.saturating_sub(1), edge, edge + 999_999, u64::MAX] {
            put(&mut bytes, 32, &timestamp.to_le_bytes());
            let expected = (timestamp < edge).then_some(Refusal::SessionAfterTimestamp);
            assert_eq!(refusal(&bytes), expected, "{start_ms} ms, {timestamp} ns");
        }
    }
}
