//! Several queued messages in one datagram.
//!
//! ```text
//!   0    2        40  42
//!   | .. | header ... | message |                    alone, from byte 2 on
//!   | header      | n | message | n | message | ..   coalesced, from byte 0 on
//! ```
//!
//! The first message lies at the same place in both, so it is not copied when a second one comes.

use zerocopy::FromBytes;

use crate::header::{HEADER_LEN, Header, flags};

/// Bytes of the length in front of each message of a coalesced datagram.
pub const LENGTH_LEN: usize = 2;
/// Where a message lies in its room.
pub const MESSAGE_OFFSET: usize = HEADER_LEN + LENGTH_LEN;

/// Whether more messages may be packed with the one of this sealed datagram: it is no part of a longer one.
#[must_use]
pub fn is_open(datagram: &[u8]) -> bool {
    let header = Header::ref_from_prefix(datagram);
    header.is_ok_and(|(header, _)| header.flags & !(flags::COALESCED | flags::NO_REPAIR) == 0)
}

/// Adds the message in the last `len` bytes of `room`, behind [`LENGTH_LEN`] bytes that are still to be written. What
/// lies before those is a sealed, [open](is_open) datagram, which begins at byte `start` of `room`: at [`LENGTH_LEN`]
/// the first time, and at 0 from then on.
///
/// Nothing is added, and `false` returned, where that is not so.
#[must_use]
pub fn append(room: &mut [u8], start: usize, len: usize) -> bool {
    let Some(end) = room.len().checked_sub(len + LENGTH_LEN).filter(|end| *end >= MESSAGE_OFFSET) else {
        return false;
    };
    let lengths = (u16::try_from(len), u16::try_from(end - MESSAGE_OFFSET));
    let (Ok(length), Ok(first)) = lengths else { return false };
    let Ok(payload_len) = u16::try_from(room.len() - HEADER_LEN) else { return false };
    if start == LENGTH_LEN {
        room.copy_within(LENGTH_LEN..MESSAGE_OFFSET, 0);
        room[HEADER_LEN..MESSAGE_OFFSET].copy_from_slice(&first.to_le_bytes());
    }
    room[end..end + LENGTH_LEN].copy_from_slice(&length.to_le_bytes());
    let Ok((header, _)) = Header::mut_from_prefix(room) else { return false };
    if start == LENGTH_LEN {
        header.flags |= flags::COALESCED;
        header.index = 1.into();
    }
    let Some(count) = header.index.get().checked_add(1) else { return false };
    header.index = count.into();
    header.payload_len = payload_len.into();
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Datagram, Now, Sequencer, Session, body};

    const NOW: Now = Now { mono_ns: 0, unix_ns: 9_000_000 };

    /// Packs the messages as a publisher does; returns the datagram.
    fn packed(messages: &[&[u8]]) -> Vec<u8> {
        let mut sequencer = Sequencer::new(7, Session::new(5, 9), 3).without_repair();
        let mut room = vec![0; MESSAGE_OFFSET];
        room.extend(messages[0]);
        sequencer.seal(&mut room[LENGTH_LEN..], NOW);
        let mut start = LENGTH_LEN;
        for message in &messages[1..] {
            assert!(is_open(&room[start..]));
            room.extend([0xee; LENGTH_LEN]);
            room.extend(*message);
            assert!(append(&mut room, start, message.len()));
            start = 0;
        }
        room.split_off(start)
    }

    #[test]
    fn what_is_packed_is_parsed_to_the_same_messages_in_their_order() {
        let long = vec![0x55; 1_300];
        for messages in [
            &[&b"alone"[..]][..],
            &[b"one", b"and another"],
            &[b"", b"", b""],
            &[&long, b"", b"x", &long],
            &[&b"abc"[..]; 400],
        ] {
            let bytes = packed(messages);
            let datagram = Datagram::parse(&bytes).expect("valid");
            assert_eq!((datagram.seq(), datagram.publisher(), datagram.stream()), (1, 7, 3));
            assert!(!datagram.may_be_repaired());
            if messages.len() == 1 {
                assert_eq!((datagram.payload(), datagram.flags() & flags::COALESCED), (messages[0], 0));
                continue;
            }
            assert_eq!(usize::from(datagram.header().index.get()), messages.len());
            assert!(body::coalesced(datagram.payload()).eq(messages.iter().copied()));
        }
    }

    #[test]
    fn parts_of_a_longer_message_are_not_open() {
        let mut sequencer = Sequencer::new(7, Session::new(5, 9), 3);
        let mut datagram = [0; HEADER_LEN + 4];
        sequencer.seal_fragment(&mut datagram, NOW, 1, 2);
        assert!(!is_open(&datagram));
        assert!(!is_open(&datagram[..HEADER_LEN - 1]));
    }

    #[test]
    fn what_cannot_be_added_changes_nothing() {
        let mut short = [0xaa; MESSAGE_OFFSET + 1];
        assert!(!append(&mut short, LENGTH_LEN, 0) && !append(&mut short, 0, 40));
        let mut huge = vec![0xaa; HEADER_LEN + 70_000];
        assert!(!append(&mut huge, 0, 3));
        assert!(short.iter().chain(&huge).all(|byte| *byte == 0xaa));
    }
}
