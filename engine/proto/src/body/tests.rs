use zerocopy::IntoBytes;

use super::*;

fn request(count: u16, entries: &[(u64, u64)]) -> Vec<u8> {
    let head = NakHead { publisher: 1.into(), stream: 2.into(), count: count.into(), session: 3.into() };
    let entry = |&(base, bitmap): &(u64, u64)| NakEntry { base: base.into(), bitmap: bitmap.into() };
    let entries: Vec<_> = entries.iter().map(entry).collect();
    [head.as_bytes(), entries.as_bytes()].concat()
}

#[test]
fn every_count_is_compared_with_every_number_of_entries() {
    for found in 0..=17 {
        let mut bytes = request(0, &vec![(1, 0); found]);
        for count in 0..=u16::MAX {
            bytes[6..8].copy_from_slice(&count.to_le_bytes());
            let valid = usize::from(count) == found && (1..=NAK_ENTRIES_MAX).contains(&found);
            assert_eq!(nak(&bytes).is_ok(), valid, "{count} of {found}");
        }
    }
}

#[test]
fn every_bit_near_the_last_sequence_exists_or_is_refused() {
    for back in 0..=66 {
        let base = u64::MAX - back;
        assert!(nak(&request(1, &[(base, 0)])).is_ok());
        for bit in 0..64 {
            let valid = bit < back;
            for bitmap in [1 << bit, u64::MAX >> (63 - bit)] {
                assert_eq!(nak(&request(1, &[(base, bitmap)])).is_ok(), valid, "{back} {bit}");
            }
        }
    }
}

#[test]
fn a_request_names_its_bases_and_each_of_their_bits() {
    for bit in 0..64 {
        let bytes = request(2, &[(10, 1 << bit), (u64::MAX, 0)]);
        let (_, entries) = nak(&bytes).expect("a request");
        assert_eq!(nak_sequences(entries).collect::<Vec<_>>(), [10, 11 + bit, u64::MAX]);
    }
}

#[test]
fn every_length_of_a_first_message_is_compared_with_every_short_payload() {
    for len in 0..=20usize {
        for first in 0..=u16::MAX {
            let mut payload = vec![0; len];
            if let Some(field) = payload.first_chunk_mut() {
                *field = first.to_le_bytes();
            }
            // What follows the first message is messages of length 0.
            let rest = len.checked_sub(2 + usize::from(first));
            let whole = rest.filter(|rest| rest % 2 == 0).map(|rest| 1 + rest / 2);
            for count in 0..=12u16 {
                let valid = whole == Some(count.into());
                assert_eq!(check_coalesced(&payload, count).is_ok(), valid, "{count} in {len}, {first}");
            }
        }
    }
}

#[test]
fn a_message_is_found_where_its_length_stands_or_not_at_all() {
    let payload = [1, 0, 7, 0, 0, 2, 0, 8, 9, 3, 0, 1];
    let mut at = 0;
    for message in coalesced(&payload) {
        let found = coalesced_at(&payload, at).expect("as the iterator finds it");
        assert_eq!((&payload[found.clone()], found.start), (message, at + 2));
        at = found.end;
    }
    assert_eq!(at, 9);
    for nowhere in [9, 10, 11, 12, 13, usize::MAX - 1, usize::MAX] {
        assert_eq!(coalesced_at(&payload, nowhere), None, "{nowhere}");
    }
}

#[test]
fn a_body_is_of_its_length_and_no_other() {
    for len in 0..=64 {
        let zeros = vec![0; len];
        assert_eq!(ack(&zeros).is_ok(), len == size_of::<Ack>());
        let mut answer = zeros;
        if let Some(seq) = answer.get_mut(16) {
            *seq = 1;
        }
        let result = response(&answer).map(|(_, result)| result.len());
        assert_eq!(result.ok(), len.checked_sub(size_of::<ResponseHead>()));
    }
}
