//! Whatever arrives, in whatever order: nothing is delivered twice, no memory grows, nothing panics.
//!
//! Byte 0 chooses the receiver. Then steps: how much time passes, who sends, what, and which sequence.

use std::collections::{HashMap, HashSet};

use headcast_proto::header::flags;
use headcast_proto::receiver::Limits;
use headcast_proto::{Datagram, Kind, Now, Receiver, Refusal, Session, Verdict};

use crate::script::{STEPS_MAX, Script};

/// Some day in 2026.
const START_MS: u64 = 1_790_000_000_000;
/// Four publishers with two streams each.
const PAIRS: usize = 8;
/// What may pass between two datagrams, around the times at which the receiver changes its mind.
const PAUSES_MS: [u64; 8] = [0, 1, 99, 100, 2_999, 3_000, 30_000, 3_600_000];
/// How far the publisher's clock may be off, around what the receiver believes.
const SKEWS_MS: [i64; 8] = [0, 0, 0, -30_000, 30_000, -30_001, 30_001, 1_000_000];

/// What a sender is known by.
type Pair = (u32, u16);

/// What is known of a pair as long as the receiver has an entry for it.
#[derive(Default)]
struct Heard {
    delivered: HashSet<(Session, u64)>,
    ended: HashSet<Session>,
    /// Where the next sequence is likely to be.
    last_seq: u64,
}

pub(crate) fn check(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let setup = script.u8();
    // Either there is a place for everyone, or they fight for one to four.
    let roomy = setup & 1 == 0;
    let publishers = if roomy { PAIRS } else { 1 + usize::from(setup >> 1 & 3) };
    let window = 128 << (setup >> 3 & 1);
    let streams: &[u16] = if setup & 16 != 0 { &[1] } else { &[] };
    let mut receiver = Receiver::new(&Limits { publishers, window }, streams);
    let mut now = Now { mono_ns: 1, unix_ns: (START_MS + 5_000_000) * 1_000_000 };
    let mut pairs: HashMap<Pair, Heard> = HashMap::new();

    for _ in 0..STEPS_MAX {
        if script.is_over() {
            return;
        }
        let step = Step::read(&mut script, &pairs);
        let pause_ns = step.pause_ms * 1_000_000;
        now = Now { mono_ns: now.mono_ns + pause_ns, unix_ns: now.unix_ns + pause_ns };
        let bytes = step.bytes(now);
        let datagram = Datagram::parse(&bytes).expect("a valid datagram, by construction");
        let (lost, missing) = (receiver.lost(), receiver.missing());
        let verdict = receiver.accept(now, &datagram);

        let heard = pairs.entry(step.pair).or_default();
        heard.last_seq = step.seq;
        match verdict {
            Verdict::Deliver { rescued, opened } => {
                assert!(step.is_whole_data() && step.is_wanted(streams), "delivered: {step:?}");
                assert_eq!(rescued, step.copy > 0);
                if opened && !roomy {
                    // It may have lost its place meanwhile, and its past with it.
                    (heard.delivered, heard.ended) = Default::default();
                }
                // At most two sessions of a pair take turns: the receiver remembers both.
                assert!(heard.delivered.insert((step.session, step.seq)), "delivered twice: {step:?}");
            }
            Verdict::Duplicate => {
                assert!(step.is_whole_data());
                assert!(heard.delivered.contains(&(step.session, step.seq)), "never came: {step:?}");
            }
            Verdict::Ended => {
                assert_eq!(step.kind, Kind::End);
                assert!(heard.ended.insert(step.session), "ended twice: {step:?}");
            }
            Verdict::Noted => assert!(matches!(step.kind, Kind::Heartbeat | Kind::End)),
            Verdict::Refused(refusal) => {
                step.check_refusal(refusal, streams, roomy);
                // `Behind` may come after a change of sessions; all others are as if it never came.
                if refusal != Refusal::Behind {
                    assert_eq!((receiver.lost(), receiver.missing()), (lost, missing));
                }
            }
        }
        assert!(receiver.lost() >= lost, "what is lost stays lost");
        assert!(receiver.missing() <= (publishers * window) as u64, "no more missing than is remembered");
    }
}

#[derive(Debug)]
struct Step {
    pause_ms: u64,
    skew_ms: i64,
    pair: Pair,
    session: Session,
    kind: Kind,
    flags: u8,
    copy: u8,
    seq: u64,
}

impl Step {
    fn read(script: &mut Script<'_>, pairs: &HashMap<Pair, Heard>) -> Self {
        let (who, what, when) = (script.u8(), script.u8(), script.u8());
        let pair = (u32::from(who & 3), u16::from(who >> 2 & 1));
        // Two sessions for each publisher, the second an hour after the first.
        let session = Session::new(START_MS + u64::from(who >> 3 & 1) * 3_600_000, pair.0);
        let last_seq = pairs.get(&pair).map_or(0, |heard| heard.last_seq);
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
        let (kind, flags) = match what >> 3 {
            0..=15 => (Kind::Data, 0),
            16 => (Kind::Data, flags::NO_REPAIR),
            17 => (Kind::Data, flags::SEALED),
            18 => (Kind::Data, flags::FRAGMENT),
            19 => (Kind::Data, flags::COALESCED),
            20 => (Kind::Data, flags::EXTENDED),
            21 => (Kind::Parity, 0),
            22 => (Kind::Report, 0),
            23 => (Kind::Heartbeat, flags::SEALED),
            24..=27 => (Kind::Heartbeat, 0),
            _ => (Kind::End, 0),
        };
        let seq_min = u64::from(!matches!(kind, Kind::Heartbeat | Kind::End));
        Self {
            pause_ms: PAUSES_MS[usize::from(when & 7)],
            skew_ms: SKEWS_MS[usize::from(when >> 3 & 7)],
            pair,
            session,
            kind,
            flags,
            copy: what & 7,
            // The last one cannot be the first fragment of two.
            seq: seq.clamp(seq_min, if flags == flags::FRAGMENT { u64::MAX - 1 } else { u64::MAX }),
        }
    }

    fn bytes(&self, now: Now) -> Vec<u8> {
        let is = |flag: u8| self.flags & flag != 0;
        let payload: &[u8] = if is(flags::COALESCED) { &[0, 0] } else { &[] };
        let extension: &[u8] = if is(flags::EXTENDED) { &[8, 0, 0x80, 1, 0, 0, 0, 0] } else { &[] };
        let tag: &[u8] = if is(flags::SEALED) { &[0; 16] } else { &[] };
        let (index, count) = (u16::from(is(flags::COALESCED)), 1 + u16::from(is(flags::FRAGMENT)));
        let skewed_ns = now.unix_ns.saturating_add_signed(self.skew_ms * 1_000_000);
        let timestamp_ns = skewed_ns.max(self.session.start_ms() * 1_000_000);
        [
            &[self.kind.first_byte(), self.flags, is(flags::SEALED).into(), self.copy][..],
            &self.pair.1.to_le_bytes(),
            &[if payload.is_empty() { 0 } else { 2 }, 0],
            &self.pair.0.to_le_bytes(),
            &index.to_le_bytes(),
            &count.to_le_bytes(),
            &self.session.to_bits().to_le_bytes(),
            &self.seq.to_le_bytes(),
            &timestamp_ns.to_le_bytes(),
            extension,
            payload,
            tag,
        ]
        .concat()
    }

    fn is_whole_data(&self) -> bool {
        let parted = flags::FRAGMENT | flags::COALESCED | flags::SEALED;
        self.kind == Kind::Data && self.flags & parted == 0
    }

    fn is_wanted(&self, streams: &[u16]) -> bool {
        streams.is_empty() || streams.contains(&self.pair.1)
    }

    /// The reason is one that can be true.
    fn check_refusal(&self, refusal: Refusal, streams: &[u16], roomy: bool) {
        let expected = match refusal {
            Refusal::Sealed => self.flags & flags::SEALED != 0,
            Refusal::Unexpected => !self.is_whole_data() && !matches!(self.kind, Kind::Heartbeat | Kind::End),
            Refusal::Stream => !self.is_wanted(streams),
            Refusal::TableFull => self.is_whole_data() && !roomy,
            Refusal::SessionOld | Refusal::SessionImplausible | Refusal::Jump | Refusal::Behind => {
                self.is_whole_data()
            }
            _ => false,
        };
        assert!(expected, "{refusal}: {self:?}");
    }
}
