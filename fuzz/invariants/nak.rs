//! Whatever is asked for: what is sent again was asked for, is stored, and stays within the budgets.
//!
//! The first bytes choose the budgets. Then steps: the stream goes on, requests come, repairs go out.

use std::collections::{HashMap, VecDeque};

use headcast_proto::body::{self, NakEntry};
use headcast_proto::repair::{ANSWER_MAX, Asked, Asker, Credit, Policy, Repair, Repairs};

use crate::script::{STEPS_MAX, Script};

const SECOND_NS: u64 = 1_000_000_000;
/// Whoever was welcomed is not welcomed again within this time.
const WELCOME_AGAIN_S: u64 = 10;
/// The most that wait: what is documented as the memory of 160 KiB.
const WAITING_MAX: usize = 4096;
/// Places in a peer set, next to one another and far apart.
const PEERS: [u32; 8] = [0, 1, 2, 3, 64, 255, 65_536, u32::MAX];
const SHARES_PERMILLE: [u32; 4] = [100, 0, 1_000, u32::MAX];
const BYTES: [u32; 8] = [0, 1_000, 64_000, 10_000, 1, 1_000_000, u32::MAX - 1, u32::MAX];
const INTERVALS_NS: [u64; 4] = [500_000, 0, SECOND_NS, u64::MAX];
const PAUSES_NS: [u64; 8] =
    [0, 1, 499_999, 500_000, SECOND_NS, 9 * SECOND_NS, 10 * SECOND_NS, 3_600 * SECOND_NS];
/// Bytes of a datagram; the last ones are longer than any.
const LENS: [usize; 8] = [1_000, 40, 1_408, 65_507, 1, 0, u32::MAX as usize, usize::MAX];
/// Where the stream begins.
const FIRSTS: [u64; 4] = [1, 1_000, u64::MAX - 5_000, u64::MAX - 70];

/// What a receiver has had.
#[derive(Default)]
struct Had {
    credit: Credit,
    bytes: u128,
    /// When it asked first.
    since_ns: Option<u64>,
}

struct Story {
    policy: Policy,
    repairs: Repairs,
    now_ns: u64,
    /// The datagrams that have gone out: how far they are stored, and how far they go.
    stored: (u64, u64),
    len: usize,
    stream_bytes: u64,
    peers: HashMap<u32, Had>,
    /// What must wait, as far as it is certain: in which order what was asked for may be sent.
    asked: VecDeque<(Repair, usize)>,
    waiting: u64,
    sent_ns: HashMap<(u32, u64), u64>,
}

pub(crate) fn check(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let [budget, start] = [script.u8(), script.u8()];
    let choose = |from: u8, bits: u32| usize::from(from & ((1 << bits) - 1));
    let policy = Policy {
        share_permille: SHARES_PERMILLE[choose(budget, 2)],
        burst: BYTES[choose(budget >> 2, 3)],
        welcome: BYTES[choose(budget >> 5, 3)],
        interval_ns: INTERVALS_NS[choose(start, 2)],
    };
    let first = FIRSTS[choose(start >> 2, 2)];
    let mut story = Story {
        policy,
        repairs: Repairs::new(policy),
        now_ns: if start & 16 == 0 { 1 } else { u64::MAX - 20 * SECOND_NS },
        stored: (first, first),
        len: LENS[choose(start >> 5, 3)],
        stream_bytes: 1,
        peers: HashMap::new(),
        asked: VecDeque::new(),
        waiting: 0,
        sent_ns: HashMap::new(),
    };
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        story.step(&mut script);
        assert!(story.waiting <= WAITING_MAX as u64, "{} wait", story.waiting);
        assert_eq!(story.repairs.is_empty(), story.waiting == 0);
    }
    story.send(u64::MAX);
    assert_eq!((story.waiting, story.repairs.next(story.now_ns)), (0, None));
}

impl Story {
    fn step(&mut self, script: &mut Script<'_>) {
        let what = script.u8();
        let which = usize::from(what >> 3 & 7);
        match what & 7 {
            0 => self.now_ns = self.now_ns.saturating_add(PAUSES_NS[which]),
            1 => self.go_on(script.u16(), what >> 6),
            2 => self.send(u64::from(what >> 3)),
            3 if what >> 3 == 0 => self.clear(),
            3 => self.send(u64::MAX),
            4 => {
                // Whatever bytes there are; only what a receiver may ask gets further.
                let request = script.take(32 + 16 * which);
                if let Ok((_, entries)) = body::nak(request) {
                    self.ask(PEERS[usize::from(what >> 6)], 0, entries);
                }
            }
            _ => {
                let (more, session) = (script.u8(), u64::from(what >> 6));
                let entries: Vec<_> = (0..=more & 15).map(|_| self.entry(script)).collect();
                self.ask(PEERS[which], session, &entries);
            }
        }
    }

    /// The publisher sends more, and stores less of what came before.
    fn go_on(&mut self, datagrams: u16, forgets: u8) {
        let (low, high) = self.stored;
        let high = high.saturating_add(datagrams.into());
        let kept = [u64::MAX, 4_096, 64, 0][usize::from(forgets)];
        self.stored = (low.max(high.saturating_sub(kept)), high);
        self.stream_bytes =
            self.stream_bytes.saturating_add(u64::from(datagrams) * self.len.min(65_507) as u64);
    }

    /// What a receiver may ask for, mostly around what is stored.
    fn entry(&self, script: &mut Script<'_>) -> NakEntry {
        let (how, by) = (script.u8(), script.u8());
        let (low, high) = self.stored;
        let base = match how & 3 {
            0 => low.saturating_add(by.into()),
            1 => high.saturating_sub(by.into()),
            2 => low.saturating_sub(by.into()),
            _ => script.u64(),
        };
        let bitmap = match how >> 2 & 3 {
            0 => 0,
            1 => u64::MAX,
            2 => u64::from(script.u16()),
            _ => script.u64(),
        };
        // The last sequence that it names must exist.
        let base = base.max(1);
        let bitmap =
            if base > u64::MAX - 64 { bitmap & ((1 << (u64::MAX - base).min(63)) - 1) } else { bitmap };
        NakEntry { base: base.into(), bitmap: bitmap.into() }
    }

    fn ask(&mut self, peer: u32, session: u64, entries: &[NakEntry]) {
        let stored = self.stored;
        let len_of = |seq| (stored.0 <= seq && seq <= stored.1).then_some(self.len);
        let had = self.peers.entry(peer).or_default();
        had.since_ns.get_or_insert(self.now_ns);
        let asker =
            Asker { peer, session, now_ns: self.now_ns, stream_bytes: self.stream_bytes, last_seq: stored.1 };
        let asked = self.repairs.ask(asker, &mut had.credit, entries, len_of);

        let Asked { queued, gone, repeated, over_budget, excess, full } = asked;
        let named: Vec<_> = body::nak_sequences(entries).collect();
        assert_eq!(queued + gone + repeated + over_budget + excess + full, named.len() as u64, "{asked:?}");
        let (answered, rest) = named.split_at(named.len().min(ANSWER_MAX));
        assert_eq!(excess, rest.len() as u64);
        // Beyond the share nothing is looked at any more.
        let absent = answered.iter().filter(|seq| len_of(**seq).is_none()).count() as u64;
        assert!(gone == absent || gone < absent && over_budget > 0, "{asked:?}");
        let recent = |seq: &&u64| {
            self.sent_ns.get(&(peer, **seq)).is_some_and(|sent| is_recent(self.now_ns, *sent, self.policy))
        };
        assert!(repeated <= answered.len() as u64);
        assert!(queued == 0 || answered.iter().any(|seq| !recent(&seq)), "all of it was just sent");
        let stored = answered.iter().filter(|seq| len_of(**seq).is_some());
        self.asked.extend(stored.map(|seq| (Repair { peer, seq: *seq }, self.len)));
        self.waiting += queued;
    }

    /// What goes out was asked for, in that order, not a moment ago, and is within its receiver's share.
    fn send(&mut self, at_most: u64) {
        for _ in 0..at_most {
            let Some(repair) = self.repairs.next(self.now_ns) else { break };
            let (_, len) = std::iter::from_fn(|| self.asked.pop_front())
                .find(|(asked, _)| *asked == repair)
                .expect("asked for, after those that have gone out");
            self.waiting -= 1;
            let before = self.sent_ns.insert((repair.peer, repair.seq), self.now_ns);
            let soon = before.is_some_and(|before| is_recent(self.now_ns, before, self.policy));
            assert!(!soon, "sent again too soon: {repair:?}");
            let had = self.peers.get_mut(&repair.peer).expect("it has asked");
            had.bytes += len as u128;
            let granted = granted(self.policy, self.stream_bytes, self.now_ns, had.since_ns);
            assert!(had.bytes <= granted, "{} bytes of {granted}", had.bytes);
        }
        if self.waiting == 0 {
            self.asked.clear();
        }
    }

    /// The peers change their places. Credits stay with whoever keeps them; here, with the places.
    fn clear(&mut self) {
        assert_eq!(self.repairs.clear() as u64, self.waiting);
        self.waiting = 0;
        self.asked.clear();
        self.sent_ns.clear();
    }
}

/// Whether what was sent then must not be sent again now.
fn is_recent(now_ns: u64, sent_ns: u64, policy: Policy) -> bool {
    sent_ns.saturating_add(policy.interval_ns) > now_ns
}

/// The most bytes that a receiver can have been granted by now.
fn granted(policy: Policy, stream_bytes: u64, now_ns: u64, since_ns: Option<u64>) -> u128 {
    let since_s = since_ns.unwrap_or(now_ns) / SECOND_NS;
    let welcomes = 1 + (now_ns / SECOND_NS - since_s) / WELCOME_AGAIN_S;
    let earned = u128::from(stream_bytes) * u128::from(policy.share_permille) / 1_000;
    earned + u128::from(policy.burst) + u128::from(welcomes) * u128::from(policy.welcome)
}
