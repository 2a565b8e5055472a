//! What is published: a message whose every byte follows from its number.

/// The longest message in bytes.
pub(super) const LEN_MAX: usize = 255;
const LEN_MIN: usize = 16;

/// The message of this number, written into `buffer`.
pub(super) fn write(number: u64, buffer: &mut [u8; LEN_MAX]) -> &[u8] {
    let mut state = mix(number);
    let span = (LEN_MAX - LEN_MIN + 1) as u64;
    let len = LEN_MIN + usize::try_from(state % span).unwrap_or(0);
    buffer[..8].copy_from_slice(&number.to_le_bytes());
    for word in buffer[8..len].chunks_mut(8) {
        state = mix(state);
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    &buffer[..len]
}

/// Sixty-four bits that look like chance, from the finalizer of Steele, Lea and Flood's SplitMix64.
pub(super) fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_the_same_every_time_and_no_other_one() {
        let mut buffers = [[0; LEN_MAX]; 3];
        let [one, again, other] = &mut buffers;
        for number in 1..1000 {
            let one = write(number, one);
            assert!((LEN_MIN..=LEN_MAX).contains(&one.len()));
            assert_eq!(one, write(number, again));
            assert_ne!(one, write(number + 1, other));
        }
    }

    #[test]
    fn mix_is_splitmix64() {
        // The first outputs for seed 0, as published with its reference implementation.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }
}
