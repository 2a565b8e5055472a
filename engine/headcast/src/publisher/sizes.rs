//! How long a message may be, and into how many datagrams it is cut.

use headcast_proto::header::FRAGMENTS_MAX;

use crate::error::PublishError;

/// The sizes of a publisher's messages, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// What fits into one datagram.
    pub(crate) payload_max: usize,
    /// The longest message.
    pub(crate) message_max: usize,
    /// The datagrams of the ring, if a message must fit into it whole.
    ring: Option<usize>,
}

impl Sizes {
    /// Of messages that are cut when they do not fit into a datagram; those that do are always possible.
    pub(crate) fn cut(payload_max: usize, message_max: usize, ring: Option<usize>) -> Self {
        let most = payload_max * usize::from(FRAGMENTS_MAX);
        Self { payload_max, message_max: message_max.min(most).max(payload_max), ring }
    }

    /// Of messages that are a datagram each.
    pub(crate) fn whole(payload_max: usize) -> Self {
        Self { payload_max, message_max: payload_max, ring: None }
    }

    /// How many datagrams a message of `len` bytes takes.
    pub(crate) fn datagrams(self, len: usize) -> usize {
        len.div_ceil(self.payload_max).max(1)
    }

    /// Whether a message of `len` bytes is possible.
    pub(crate) fn check(self, len: usize) -> Result<(), PublishError> {
        if len > self.message_max {
            return Err(PublishError::TooLong { len, max: self.message_max });
        }
        match (self.datagrams(len), self.ring) {
            (datagrams, Some(ring)) if datagrams > ring => {
                Err(PublishError::RingTooShort { datagrams, ring })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_takes_as_many_datagrams_as_it_needs() {
        let sizes = Sizes::cut(100, 1 << 20, None);
        assert_eq!([0, 1, 100, 101, 200, 201].map(|len| sizes.datagrams(len)), [1, 1, 1, 2, 2, 3]);
        assert_eq!(sizes.message_max, 102_400, "1,024 datagrams are the most");
        assert_eq!(Sizes::cut(2_000, 1 << 20, None).message_max, 1 << 20);
        assert_eq!(Sizes::cut(2_000, 10, None).message_max, 2_000, "what fits into a datagram is possible");
    }

    #[test]
    fn what_is_too_long_is_told_why() {
        assert!(matches!(Sizes::whole(100).check(101), Err(PublishError::TooLong { len: 101, max: 100 })));
        let sizes = Sizes::cut(100, 5_000, Some(16));
        assert!(sizes.check(1_600).is_ok());
        let error = sizes.check(1_601).expect_err("too long for the ring");
        assert!(matches!(error, PublishError::RingTooShort { datagrams: 17, ring: 16 }));
        assert!(matches!(sizes.check(5_001), Err(PublishError::TooLong { .. })));
    }
}
