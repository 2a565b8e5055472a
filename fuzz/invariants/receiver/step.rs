//! One step of the story: a datagram, or time that passes.

use std::collections::HashMap;

use headcast_proto::header::flags;
use headcast_proto::{Kind, Now, Refusal, Session, Verdict};

use super::START_MS;
use super::setup::Setup;
use crate::encode::Fields;
use crate::ledger::Pair;
use crate::script::Script;

/// What may pass between two datagrams, around the times at which the receiver changes its mind.
const PAUSES_MS: [u64; 8] = [0, 1, 99, 100, 2_999, 3_000, 30_000, 3_600_000];
const PAUSES_US: [u64; 8] = [1, 50, 199, 200, 1_000, 2_000, 10_000, 50_000];
/// How far the publisher's clock may be off, around what the receiver believes.
const SKEWS_MS: [i64; 8] = [0, 0, 0, -30_000, 30_000, -30_001, 30_001, 1_000_000];
/// Bytes of a payload, around the room that a datagram takes where it is kept.
const SIZES: [usize; 8] = [0, 1, 8, 100, 1_408, 1_409, 2_816, 5_000];
/// Parts of a message, around what a window and a message may have.
const COUNTS: [u16; 16] = [2, 2, 2, 3, 3, 4, 5, 8, 13, 63, 64, 65, 192, 193, 1_023, 1_024];

#[derive(Debug)]
pub(super) enum Act {
    Send,
    /// Nothing comes.
    Wait,
    /// The subscriber is about to stop.
    Finish,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) pause_ns: u64,
    /// What is due is done before.
    pub(super) settles: bool,
    pub(super) act: Act,
    pub(super) pair: Pair,
    pub(super) seq: u64,
    skew_ms: i64,
    session: Session,
    kind: Kind,
    flags: u8,
    copy: u8,
    retransmission: bool,
    part: (u16, u16),
    len: usize,
    /// How many messages share the datagram; 0 if it is not made for several.
    shared: usize,
}

impl Step {
    pub(super) fn read(script: &mut Script<'_>, setup: &Setup, last_seqs: &HashMap<Pair, u64>) -> Self {
        let (who, what, when) = (script.u8(), script.u8(), script.u8());
        let pair = (u32::from(who & 3), u16::from(who >> 2 & 1));
        // Two sessions for each publisher, the second an hour after the first.
        let session = Session::new(START_MS + u64::from(who >> 3 & 1) * 3_600_000, pair.0);
        let last_seq = last_seqs.get(&pair).copied().unwrap_or(0);
        let near = |by: i64| last_seq.saturating_add_signed(by);
        let seq = match who >> 4 {
            0..=5 => near(1),
            6..=8 => near(script.i8().into()),
            9 => near(script.i16().into()),
            10 => near(script.u16().into()),
            11..=12 => script.u8().into(),
            13 => u64::MAX - u64::from(script.u8()),
            14 => near(0),
            _ => script.u64(),
        };
        let (kind, flags, act) = match what >> 3 {
            0..=15 => (Kind::Data, 0, Act::Send),
            16 => (Kind::Data, flags::NO_REPAIR, Act::Send),
            17 => (Kind::Data, flags::SEALED, Act::Send),
            18 => (Kind::Data, flags::FRAGMENT, Act::Send),
            19 => (Kind::Data, flags::COALESCED, Act::Send),
            20 => (Kind::Data, flags::EXTENDED, Act::Send),
            21 => (Kind::Parity, 0, Act::Send),
            22 => (Kind::Report, 0, Act::Send),
            23 => (Kind::Heartbeat, flags::SEALED, Act::Send),
            24..=26 => (Kind::Heartbeat, 0, Act::Send),
            27 => (Kind::Heartbeat, flags::NO_REPAIR, Act::Send),
            29 if setup.full => (Kind::Data, flags::FRAGMENT | flags::NO_REPAIR, Act::Send),
            30 if setup.full => (Kind::Data, 0, Act::Wait),
            31 if setup.full => (Kind::Data, 0, Act::Finish),
            _ => (Kind::End, 0, Act::Send),
        };
        // Half of the data is parts of messages, where there are any but the shortest.
        let size = if setup.full && kind == Kind::Data && matches!(act, Act::Send) { script.u8() } else { 0 };
        let parted = flags & (flags::SEALED | flags::COALESCED | flags::EXTENDED) == 0 && size & 8 != 0;
        let flags = if parted { flags | flags::FRAGMENT } else { flags };
        let part = match (flags & flags::FRAGMENT != 0, setup.full) {
            (false, _) => (0, 1),
            (true, false) => (0, 2),
            (true, true) => {
                let count = COUNTS[usize::from(size >> 4)];
                (script.u8() as u16 % count, count)
            }
        };
        let seq_min = u64::from(!matches!(kind, Kind::Heartbeat | Kind::End));
        // All of its message must exist.
        let seq_min = seq_min.max(u64::from(part.0) + seq_min);
        let pauses = if when & 64 != 0 { PAUSES_US } else { PAUSES_MS.map(|pause_ms| pause_ms * 1_000) };
        Self {
            pause_ns: pauses[usize::from(when & 7)] * 1_000,
            settles: setup.full && (what & 7 != 7 || matches!(act, Act::Wait)),
            act,
            pair,
            seq: seq.clamp(seq_min, u64::MAX - u64::from(part.1 - 1 - part.0)),
            skew_ms: SKEWS_MS[usize::from(when >> 3 & 7)],
            session,
            kind,
            flags,
            copy: what & 7,
            retransmission: when & 128 != 0,
            part,
            len: SIZES[usize::from(size & 7)],
            shared: if flags & flags::COALESCED != 0 { 1 + usize::from(size >> 4) } else { 0 },
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "few messages")]
    pub(super) fn bytes(&self, now: Now) -> Vec<u8> {
        let is = |flag: u8| self.flags & flag != 0;
        let own: Vec<u8> = (0..self.len).map(|at| self.byte(at)).collect();
        let payload = if self.shared > 0 { share(&own, self.shared) } else { own };
        let skewed_ns = now.unix_ns.saturating_add_signed(self.skew_ms * 1_000_000);
        Fields {
            kind: self.kind as u8,
            flags: self.flags,
            key_id: is(flags::SEALED).into(),
            copy: self.copy,
            retransmission: self.retransmission,
            hops: 0,
            stream: self.pair.1,
            publisher: self.pair.0,
            index: if self.shared > 0 { self.shared as u16 } else { self.part.0 },
            count: self.part.1,
            session: self.session.to_bits(),
            seq: self.seq,
            timestamp: skewed_ns.max(self.session.start_ms() * 1_000_000),
            extension: if is(flags::EXTENDED) { &[8, 0, 0x80, 1, 0, 0, 0, 0] } else { &[] },
            payload: &payload,
            tag: if is(flags::SEALED) { &[0; 16] } else { &[] },
        }
        .bytes()
    }

    /// No two datagrams look alike.
    #[expect(clippy::cast_possible_truncation, reason = "any byte will do")]
    fn byte(&self, at: usize) -> u8 {
        let own = self.seq ^ self.session.start_ms() >> 3 ^ u64::from(self.pair.0) << 4;
        (own.rotate_right(8 * (at as u32 % 8)) as u8) ^ (at >> 8) as u8 ^ self.pair.1 as u8
    }

    fn is_message(&self) -> bool {
        self.kind == Kind::Data && self.flags & flags::SEALED == 0
    }

    fn is_wanted(&self, setup: &Setup) -> bool {
        setup.streams.is_empty() || setup.streams.contains(&self.pair.1)
    }

    /// The verdict is one that can be true.
    pub(super) fn allows(&self, verdict: Verdict, setup: &Setup) -> bool {
        let message = self.is_message() && self.is_wanted(setup);
        let (parted, ordered) = (self.part.1 > 1, setup.order_ns.is_some());
        match verdict {
            Verdict::Deliver { .. } => message && !parted,
            Verdict::Kept => message && (parted || ordered),
            Verdict::Duplicate => message,
            Verdict::Ended => self.kind == Kind::End && self.is_wanted(setup),
            Verdict::Noted => matches!(self.kind, Kind::Heartbeat | Kind::End) && self.is_wanted(setup),
            Verdict::Refused(refusal) => match refusal {
                Refusal::Sealed => self.flags & flags::SEALED != 0,
                Refusal::Unexpected => {
                    !self.is_message() && !matches!(self.kind, Kind::Heartbeat | Kind::End)
                }
                Refusal::Stream => !self.is_wanted(setup),
                Refusal::TableFull => message && !setup.roomy,
                Refusal::SessionOld | Refusal::SessionImplausible | Refusal::Jump => message,
                Refusal::Behind | Refusal::Late => message,
                Refusal::MessageTooLong | Refusal::Memory => message && (parted || ordered),
                _ => false,
            },
        }
    }
}

/// These bytes as the payload of so many messages: all of one length, but for the last, which may be empty.
fn share(bytes: &[u8], messages: usize) -> Vec<u8> {
    let each = bytes.len().div_ceil(messages);
    let message = |at: usize| &bytes[(at * each).min(bytes.len())..((at + 1) * each).min(bytes.len())];
    let behind_its_length = |message: &[u8]| {
        let len = u16::try_from(message.len()).expect("a message is under 64 KiB");
        [&len.to_le_bytes(), message].concat()
    };
    (0..messages).flat_map(|at| behind_its_length(message(at))).collect()
}
