//! Datagrams that are dropped on purpose.

use super::message::mix;

/// Which datagrams are dropped: decided by the seed, the pod and the copy alone, so that a seed means the
/// same losses whatever the timing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    /// Of 1.
    share: f64,
    seed: u64,
}

impl Loss {
    pub(super) fn new(percent: f64, seed: u64) -> Self {
        Self { share: percent / 100.0, seed }
    }

    /// Whether this copy of this message is dropped at this pod.
    pub(super) fn takes(&self, pod: u64, seq: u64, copy: u8) -> bool {
        let bits = mix(mix(mix(self.seed ^ pod) ^ seq) ^ u64::from(copy));
        // The upper 53 bits are as many as a float holds exactly: 0 <= chance < 1.
        #[expect(clippy::cast_precision_loss)]
        let chance = (bits >> 11) as f64 / (1u64 << 53) as f64;
        chance < self.share
    }

    pub(super) fn percent(&self) -> f64 {
        self.share * 100.0
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Of this many messages in two copies, how many lose both.
    pub(super) fn expected(&self, messages: u64) -> f64 {
        #[expect(clippy::cast_precision_loss)]
        let messages = messages as f64;
        messages * self.share * self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_everything_are_exact() {
        for seq in 1..10_000 {
            assert!(!Loss::new(0.0, seq).takes(seq, seq, 0));
            assert!(Loss::new(100.0, seq).takes(seq, seq, 0));
        }
    }

    #[test]
    fn copies_pods_and_messages_are_dropped_independently() {
        let loss = Loss::new(10.0, 7);
        let (mut one, mut both) = (0, 0);
        for pod in 0..10 {
            for seq in 0..10_000 {
                let dropped = [0, 1].map(|copy| loss.takes(pod, seq, copy));
                one += dropped.iter().filter(|dropped| **dropped).count();
                both += usize::from(dropped == [true, true]);
            }
        }
        // Of 200,000 and of 100,000: six standard deviations to either side.
        assert!((19_200..=20_800).contains(&one), "{one}");
        assert!((810..=1190).contains(&both), "{both}");
    }
}
