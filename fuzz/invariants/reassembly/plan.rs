//! What a publisher sends: messages of one datagram and of many, and some that no publisher would send.

use crate::script::Script;

const COUNTS: [u16; 8] = [1, 1, 2, 3, 4, 8, 33, 64];
/// This one of them is several messages in one datagram instead: so many.
const SHARING: u8 = 1;
const SHARED: [u16; 4] = [1, 2, 3, 40];
/// Bytes of a part, around the room that a datagram takes where it is kept.
const SIZES: [usize; 8] = [8, 1, 0, 100, 1_408, 1_409, 40, 1_000];
/// Where the stream begins.
const FIRSTS: [u64; 4] = [1, 1_000, u64::MAX - 500, u64::MAX - 70];

pub(super) struct Plan {
    pub(super) messages: Vec<Message>,
    pub(super) datagrams: Vec<Sent>,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Its parts say the same of it.
    pub(super) is_sound: bool,
}

pub(super) struct Sent {
    pub(super) seq: u64,
    /// Which part of how many.
    pub(super) part: (u16, u16),
    /// How many messages share it; 0 if it is not made for several.
    pub(super) shared: u16,
    pub(super) payload: Vec<u8>,
}

impl Plan {
    pub(super) fn read(script: &mut Script<'_>) -> Self {
        let start = script.u8();
        let (mut messages, mut datagrams) = (Vec::new(), Vec::new());
        let mut next = Some(FIRSTS[usize::from(start & 3)]);
        for _ in 0..1 + (start >> 3 & 15) {
            let what = script.u8();
            let count = COUNTS[usize::from(what & 7)];
            let Some(first) = next else { break };
            let Some(last) = first.checked_add(u64::from(count) - 1) else { break };
            next = last.checked_add(1);
            // One in four is contradictory, if asked for.
            let is_sound = count == 1 || what >> 6 != 3;
            for index in 0..count {
                let seq = first + u64::from(index);
                let len = match SIZES[usize::from(what >> 3 & 7)] {
                    len if index + 1 == count => len / 2 + 1,
                    len => len,
                };
                let part =
                    if is_sound { (index, count) } else { contradiction(script.u8(), seq, (index, count)) };
                let shared = if what & 7 == SHARING { SHARED[usize::from(what >> 6)] } else { 0 };
                let mut payload = payload(seq, len);
                if shared > 0 {
                    payload = share(&payload, shared);
                }
                datagrams.push(Sent { seq, part, shared, payload });
            }
            messages.push(Message { first, last, is_sound });
        }
        Self { messages, datagrams }
    }
}

/// A part that says something else of its message, yet something that can be.
fn contradiction(how: u8, seq: u64, (index, count): (u16, u16)) -> (u16, u16) {
    let by = u16::from(how >> 3);
    let (index, count) = match how & 7 {
        0..=3 => (index, count),
        4 => (index, count + by),
        5 => (index + by, count + by),
        6 => (0, 2 + by),
        _ => (0, 1),
    };
    let first = seq.checked_sub(index.into()).filter(|first| *first >= 1);
    let exists = first.is_some_and(|first| first.checked_add(u64::from(count) - 1).is_some());
    if exists { (index, count) } else { (0, 1) }
}

/// No two datagrams have the same.
fn payload(seq: u64, len: usize) -> Vec<u8> {
    let seq = seq.to_le_bytes();
    (0..len).map(|at| seq[at % 8] ^ seq[at / 8 % 8].rotate_left(3)).collect()
}

/// The payload of messages that share a datagram: each is a byte shorter than the one before.
fn share(longest: &[u8], messages: u16) -> Vec<u8> {
    let mut payload = Vec::new();
    for shorter in 0..messages {
        let message = &longest[..longest.len().saturating_sub(shorter.into())];
        payload.extend(u16::try_from(message.len()).expect("a message is under 64 KiB").to_le_bytes());
        payload.extend(message);
    }
    payload
}
