//! The Internet checksum (RFC 1071), taken apart so that its parts can be prepared.
//!
//! Sums are of 16-bit words as the machine reads them: the order of the bytes does not matter as long as
//! the result is written as it was read (RFC 1071, section 2 B).

/// The sum of the bytes as 16-bit words; an odd last byte counts as if a zero followed.
///
/// Sums of parts add up to that of the whole when all parts but the last are of even length.
#[inline]
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    // 2^32 words of 32 bits fit, and so does any datagram.
    let mut sum = words
        .by_ref()
        .map(|word| u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]])))
        .sum::<u64>();
    let mut last = [0; 4];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_ne_bytes(last));
    sum
}

/// A number in network order, as a part of a sum.
#[inline]
pub(super) fn word(number: u16) -> u64 {
    u64::from(number.to_be())
}

/// The checksum of what `sum` is of, to be written with `to_ne_bytes`.
#[inline]
pub(super) fn finish(sum: u64) -> u16 {
    // Each turn adds the upper half to the lower: 64 bits become 33, 17, and 16.
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "16 bits are left")]
    let folded = sum as u16;
    !folded
}

#[cfg(all(test, not(miri)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071, word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).expect("folded")
    }

    #[test]
    fn the_example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(finish(sum(&bytes)).to_ne_bytes(), (!0xddf2u16).to_be_bytes());
    }

    proptest! {
        #[test]
        fn parts_that_are_summed_apart_make_the_checksum_of_the_whole(
            bytes in prop::collection::vec(prop_oneof![Just(0xffu8), any::<u8>()], 0..2_000),
            at in 0usize..1_000,
        ) {
            let (head, tail) = bytes.split_at((2 * at).min(bytes.len() & !1));
            prop_assert_eq!(finish(sum(head) + sum(tail)).to_ne_bytes(), naive(&bytes).to_be_bytes());
        }
    }
}
