//! A responder, and what can be said of it without its arithmetic.

use std::collections::{BTreeMap, BTreeSet};

use headcast_proto::responding::Outstanding;
use headcast_proto::stored::SPAN;

use super::recorder::Packet;

/// However bad things are, so many are under way if there are so many.
const WINDOW_MIN: usize = 4;
const WINDOW_MAX: usize = 1_024;
/// However bad things are, all is sent again after this, and not before that.
const TIMEOUT_MAX_NS: u64 = 1_000_000_000;
const TIMEOUT_MIN_NS: u64 = 20_000_000;
/// What was sent this long before something that arrived has been overtaken for certain.
const REORDER_MAX_NS: u64 = 5_000_000;

pub(super) struct Responder {
    outstanding: Outstanding,
    room: usize,
    next: u64,
    never_sent: u64,
    held: BTreeSet<u64>,
    /// Under way for certain, since when.
    under_way: BTreeMap<u64, u64>,
    /// Overtaken by what was sent later: under way or lost, which depends on the round trip.
    overtaken: BTreeMap<u64, u64>,
    /// Lost for certain.
    lost: BTreeSet<u64>,
}

impl Responder {
    pub(super) fn new(room: usize) -> Self {
        Self {
            outstanding: Outstanding::new(room),
            room,
            next: 1,
            never_sent: 1,
            held: BTreeSet::new(),
            under_way: BTreeMap::new(),
            overtaken: BTreeMap::new(),
            lost: BTreeSet::new(),
        }
    }

    /// The first that was never sent.
    pub(super) fn never_sent(&self) -> u64 {
        self.never_sent
    }

    pub(super) fn held(&self) -> &BTreeSet<u64> {
        &self.held
    }

    /// The lowest that is held; the next one if none is.
    pub(super) fn held_from(&self) -> u64 {
        self.held.first().copied().unwrap_or(self.next)
    }

    /// Accepts so many, or as many as there is room for.
    pub(super) fn accept(&mut self, count: usize) {
        for _ in 0..count {
            let is_full = self.next - self.held_from() >= self.room as u64;
            assert_eq!(self.outstanding.is_full(), is_full);
            let accepted = self.outstanding.accept();
            assert_eq!(accepted, (!is_full).then_some(self.next), "every response has the next number");
            let Some(seq) = accepted else { break };
            self.held.insert(seq);
            self.next += 1;
        }
    }

    /// Sends what is due, if anything is.
    pub(super) fn send(&mut self, now_ns: u64) -> Option<Packet> {
        let Some(due) = self.outstanding.due() else {
            let may = !self.lost.is_empty() || self.never_sent < self.next && self.reaches(self.never_sent);
            let under_way = self.under_way.len() + self.overtaken.len();
            assert!(!may || under_way >= WINDOW_MIN, "nothing goes out although it may");
            return None;
        };
        let seq = due.seq;
        assert!(self.held.contains(&seq), "{seq} was acknowledged");
        assert!(self.reaches(seq), "{seq} is a span above {}", self.held_from());
        if due.again {
            let was_lost = self.lost.remove(&seq) | self.overtaken.remove(&seq).is_some();
            assert!(was_lost, "{seq} goes again without a reason");
        } else {
            assert!(seq == self.never_sent && seq < self.next, "{seq} is not the next one");
            self.never_sent += 1;
        }
        self.under_way.insert(seq, now_ns);
        let waited = self.outstanding.under_way() > 0;
        self.outstanding.sent(now_ns, due);
        if !waited {
            self.waits_anew(now_ns);
        }
        assert!(self.outstanding.under_way() as usize <= WINDOW_MAX);
        Some(Packet { seq, held_from: self.outstanding.held_from(), forged: false })
    }

    fn reaches(&self, seq: u64) -> bool {
        seq - self.held_from() < SPAN
    }

    /// Hears an acknowledgement. What need not be held any more; `None` if it is refused.
    pub(super) fn hear(&mut self, now_ns: u64, next: u64, bitmap: u64) -> Option<Vec<u64>> {
        let marked = |seq: u64| seq > next && seq - next <= 64 && bitmap >> (seq - next - 1) & 1 == 1;
        let is_possible = next > 0 && next <= self.never_sent + SPAN;

        let before = self.seen();
        let mut freed = Vec::new();
        let result = self.outstanding.acknowledge(now_ns, next, bitmap, |seq| freed.push(seq));
        assert_eq!(result.is_ok(), is_possible, "{next} {bitmap:#x}, never sent: {}", self.never_sent);
        let Ok(count) = result else {
            assert!(freed.is_empty() && before == self.seen(), "refused, and something changed");
            return None;
        };
        let near = self.held.range(..=next.saturating_add(64)).copied();
        let named = near.filter(|seq| *seq < self.never_sent && (*seq < next || marked(*seq)));
        assert_eq!(freed, named.collect::<Vec<_>>(), "what is freed is what was named");
        assert_eq!(count as usize, freed.len());

        // The latest that has arrived, as far as that is certain, and as far as it is possible. Without a bit nobody is
        // obliged to look.
        let (mut certain_ns, mut possible_ns) = (0, 0);
        for seq in &freed {
            self.held.remove(seq);
            self.lost.remove(seq);
            let certain = self.under_way.remove(seq);
            let possible = self.overtaken.remove(seq);
            certain_ns = certain_ns.max(certain.filter(|_| bitmap != 0).unwrap_or(0));
            possible_ns = possible_ns.max(certain.or(possible).unwrap_or(0));
        }
        self.overtake(certain_ns, possible_ns);
        if !freed.is_empty() {
            self.waits_anew(now_ns);
        }
        Some(freed)
    }

    fn waits_anew(&self, now_ns: u64) {
        assert!(
            self.outstanding.deadline_ns() >= now_ns + TIMEOUT_MIN_NS,
            "it has just heard, or begun to wait"
        );
    }

    fn overtake(&mut self, certain_ns: u64, possible_ns: u64) {
        self.overtaken.extend(self.under_way.extract_if(.., |_, sent_ns| *sent_ns < possible_ns));
        let lost = |_: &u64, sent_ns: &mut u64| *sent_ns < certain_ns.saturating_sub(REORDER_MAX_NS);
        self.lost.extend(self.overtaken.extract_if(.., lost).map(|(seq, _)| seq));
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now_ns: u64) {
        let is_due = now_ns >= self.outstanding.deadline_ns();
        assert_eq!(self.outstanding.tick(now_ns), is_due);
        if is_due {
            assert_eq!(self.outstanding.under_way(), 0, "all of it is lost");
            self.lost.extend(std::mem::take(&mut self.under_way).into_keys());
            self.lost.extend(std::mem::take(&mut self.overtaken).into_keys());
        }
    }

    /// How long until something happens by itself; 0 if nothing is waited for.
    pub(super) fn patience_ns(&self, now_ns: u64) -> u64 {
        match self.outstanding.deadline_ns() {
            u64::MAX => 0,
            deadline_ns => deadline_ns.saturating_sub(now_ns),
        }
    }

    /// The counters are what the books say.
    pub(super) fn check(&self, now_ns: u64) {
        assert_eq!(self.outstanding.held() as usize, self.held.len());
        assert_eq!(self.outstanding.held_from(), self.held_from());
        let (certain, possible) = (self.under_way.len(), self.under_way.len() + self.overtaken.len());
        let under_way = self.outstanding.under_way() as usize;
        assert!((certain..=possible).contains(&under_way), "{certain} <= {under_way} <= {possible}");
        let new = usize::try_from(self.next - self.never_sent).expect("few");
        assert_eq!(self.held.len(), possible + self.lost.len() + new);
        if under_way == 0 {
            assert_eq!(self.outstanding.deadline_ns(), u64::MAX);
        } else {
            assert!(self.outstanding.deadline_ns() <= now_ns + TIMEOUT_MAX_NS, "it waits for too long");
        }
    }

    /// What can be seen of it.
    fn seen(&self) -> impl PartialEq + use<> {
        let outstanding = &self.outstanding;
        let counts = (outstanding.held(), outstanding.under_way(), outstanding.held_from());
        (counts, outstanding.due(), outstanding.deadline_ns(), outstanding.is_silent())
    }
}
