//! The books of a receiver: what it was sent, and what it told. They must balance at any time.

#[path = "ledger/requests.rs"]
mod requests;
#[path = "ledger/session.rs"]
mod session;

use std::collections::HashMap;

use headcast_proto::{Datagram, Event, Now, Receiver, Refusal, Session, StreamId, Verdict};

use session::{Heard, Part};

/// What a sender is known by.
pub(crate) type Pair = (u32, u16);

/// How a receiver was set up, as far as it matters for what may be expected of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// Messages come in order, and are held back no longer than this.
    pub(crate) order_ns: Option<u64>,
    /// Sessions that begin later are awaited from their first sequence, in Unix milliseconds.
    pub(crate) since_ms: Option<u64>,
    /// Some of the past is asked for.
    pub(crate) history: bool,
    /// Bits of all windows.
    pub(crate) missing_max: u64,
}

pub(crate) struct Ledger {
    expected: Expected,
    pairs: HashMap<Pair, Known>,
    /// Sequences that gaps named.
    lost: u128,
    /// Datagrams that were kept, and those of them that came back in messages.
    kept: u64,
    handed: u64,
}

/// What is known of a pair for as long as the receiver has an entry for it.
#[derive(Default)]
struct Known {
    sessions: HashMap<Session, Heard>,
    current: Option<Session>,
    /// Something of it came that may be asked for again.
    may_be_repaired: bool,
}

/// As [`Event`], without the borrow.
enum Told {
    Message { id: StreamId, seq: u64, part: u16, timestamp: u64, rescued: bool, payload: Vec<u8> },
    Gap { id: StreamId, from: u64, to: u64 },
    Opened { id: StreamId, seq: u64, before: Option<Session> },
    Ended { id: StreamId },
    Silent,
}

impl Ledger {
    pub(crate) fn new(expected: Expected) -> Self {
        let pairs = HashMap::new();
        Self { expected, pairs, lost: 0, kept: 0, handed: 0 }
    }

    /// Sends a datagram, and books everything that comes of it.
    pub(crate) fn send(&mut self, to: &mut Receiver, now: Now, datagram: &Datagram<'_>) -> Verdict {
        let id = StreamId {
            publisher: datagram.publisher(),
            session: datagram.session(),
            stream: datagram.stream(),
        };
        let (pair, seq) = ((id.publisher, id.stream), datagram.seq());
        self.pairs.entry(pair).or_default().may_be_repaired |= datagram.may_be_repaired();
        let verdict = to.accept(now, datagram);
        let told = take_events(to);
        // The order of things: a session is opened, the datagram counts, then come the consequences.
        let opens = |event: &Told| matches!(event, Told::Opened { id: opened, .. } if *opened == id);
        let (before, after) = told.split_at(told.iter().position(opens).map_or(0, |at| at + 1));
        self.book(before);
        self.judge(verdict, id, now, datagram);
        self.book(after);
        if verdict == Verdict::Refused(Refusal::Late) {
            assert!(self.heard(id).is_told(seq), "late, yet not told as a gap: {seq}");
        }
        self.balances(to);
        verdict
    }

    fn judge(&mut self, verdict: Verdict, id: StreamId, now: Now, datagram: &Datagram<'_>) {
        let seq = datagram.seq();
        match verdict {
            Verdict::Deliver { rescued, .. } => {
                let part = Part::new(datagram, now.mono_ns);
                assert_eq!((part.rescued, part.count), (rescued, 1), "{seq}");
                self.arrives(id, seq, part);
                let ordered = self.expected.order_ns.is_some();
                self.heard(id).hand_on(seq, 1, ordered);
            }
            Verdict::Kept => {
                self.arrives(id, seq, Part::new(datagram, now.mono_ns));
                self.kept += 1;
            }
            Verdict::Duplicate => {
                let history = self.expected.history;
                let heard = self.heard(id);
                let past = history && heard.begins.is_none_or(|begins| seq < begins);
                assert!(heard.has(seq) || heard.is_told(seq) || past, "a duplicate that never came: {seq}");
            }
            Verdict::Ended => {
                let ended = &mut self.heard(id).ended;
                assert!(!std::mem::replace(ended, true), "ended twice");
            }
            Verdict::Noted | Verdict::Refused(_) => {}
        }
    }

    /// Whether a datagram of this sequence has counted as arrived.
    #[allow(dead_code, reason = "not every target knows what must come")]
    pub(crate) fn has(&mut self, id: StreamId, seq: u64) -> bool {
        self.heard(id).has(seq)
    }

    /// Whether the message that begins with this sequence has been handed on.
    #[allow(dead_code, reason = "not every target knows what must come")]
    pub(crate) fn is_handed_on(&mut self, id: StreamId, seq: u64) -> bool {
        self.heard(id).is_handed_on(seq)
    }

    /// Does everything that is due, and books it.
    pub(crate) fn settle(&mut self, of: &mut Receiver, now: Now) {
        while of.deadline_ns() <= now.mono_ns {
            of.tick(now);
            let told = take_events(of);
            self.book(&told);
            self.take_requests(of, now);
            self.balances(of);
            // What did not fit into one round of events comes with the next.
            assert!(of.deadline_ns() > now.mono_ns || !told.is_empty(), "due, and nothing done about it");
        }
        if let Some(hold_max_ns) = self.expected.order_ns {
            for heard in self.pairs.values().flat_map(|known| known.sessions.values()) {
                heard.holds_nothing_since(now.mono_ns.saturating_sub(hold_max_ns));
            }
        }
    }

    /// Has everything given up that is missing, and books it.
    pub(crate) fn finish(&mut self, of: &mut Receiver) {
        loop {
            let more = of.finish();
            let told = take_events(of);
            assert!(!more || !told.is_empty(), "more to give up, and nothing given up");
            self.book(&told);
            self.balances(of);
            if !more {
                break;
            }
        }
        let nothing_kept = of.memory().0 == 0;
        for known in self.pairs.values() {
            let current = known.current.map(|session| &known.sessions[&session]);
            if let Some(heard) = current {
                heard.is_complete(nothing_kept);
            }
        }
    }

    fn book(&mut self, told: &[Told]) {
        let ordered = self.expected.order_ns.is_some();
        // The datagram of which there are more messages.
        let mut open = None;
        for event in told {
            let goes_on = matches!(event, Told::Message { id, seq, .. } if open == Some((*id, *seq)));
            assert!(open.is_none() || goes_on, "something comes between the messages of a datagram");
            match event {
                Told::Message { id, seq, part, timestamp, rescued, payload } => {
                    let heard = self.heard(*id);
                    if ordered {
                        heard.nothing_is_open_before(*seq);
                    }
                    let (count, mut expected) = heard.message(*seq);
                    if count == 1 {
                        let more;
                        (expected.1, more) = heard.unpack(*seq, *part);
                        open = more.then_some((*id, *seq));
                    }
                    assert_eq!((*timestamp, *rescued), expected.0, "{seq}");
                    assert!(*payload == expected.1, "message {part} at {seq} is not what was sent");
                    if *part == 0 {
                        heard.hand_on(*seq, count, ordered);
                        self.handed += u64::from(count);
                    }
                }
                Told::Gap { id, from, to } => {
                    self.lost += u128::from(to - from) + 1;
                    self.heard(*id).gap(*from, *to, ordered);
                }
                Told::Opened { id, seq, before } => self.opens(*id, *seq, *before),
                Told::Ended { id } => assert!(self.known(*id).sessions.contains_key(&id.session)),
                Told::Silent => {}
            }
        }
        assert_eq!(open, None, "not all messages of a datagram came");
    }

    fn opens(&mut self, id: StreamId, seq: u64, before: Option<Session>) {
        assert_ne!(before, Some(id.session), "a session does not follow itself");
        let since_ms = self.expected.since_ms;
        let known = self.known(id);
        known.turns_to(id.session);
        if before.is_none() {
            // It is new, or had lost its place, and its past with it.
            known.sessions.clear();
        }
        let fresh = since_ms.is_some_and(|since_ms| id.session.start_ms() >= since_ms) && seq <= 64;
        let heard = known.sessions.entry(id.session).or_default();
        // Of what was heard before, nothing is awaited until something new comes.
        let awaited = if fresh { heard.end().saturating_add(1) } else { seq };
        heard.begins = (heard.end() < seq).then_some(awaited);
    }

    fn arrives(&mut self, id: StreamId, seq: u64, part: Part) {
        assert_eq!(self.known(id).current, Some(id.session), "of a session that was not opened");
        let heard = self.heard(id);
        heard.begins.get_or_insert(seq);
        heard.arrives(seq, part);
    }

    /// What holds whenever all events have been taken.
    fn balances(&self, of: &Receiver) {
        let (used, capacity) = of.memory();
        assert_eq!(u128::from(of.lost()), self.lost.min(u64::MAX.into()), "lost is what gaps named");
        assert!(of.missing() <= self.expected.missing_max, "no more missing than is remembered");
        assert!(used <= capacity, "{used} of {capacity} bytes");
        let gone = self.handed + of.stats().dropped_parts;
        assert!(
            gone <= self.kept && (gone == self.kept) == (used == 0),
            "{used} bytes for {} kept, {gone} gone",
            self.kept
        );
    }

    fn known(&mut self, id: StreamId) -> &mut Known {
        self.pairs.entry((id.publisher, id.stream)).or_default()
    }

    fn heard(&mut self, id: StreamId) -> &mut Heard {
        self.known(id).sessions.entry(id.session).or_default()
    }
}

impl Known {
    /// The current session is over, if another follows: all that was missing of it has been told.
    fn turns_to(&mut self, session: Session) {
        if let Some(current) = self.current.replace(session)
            && current != session
        {
            self.sessions[&current].is_complete(true);
        }
    }
}

fn take_events(of: &mut Receiver) -> Vec<Told> {
    let mut told = Vec::new();
    while let Some(event) = of.event() {
        told.push(match event {
            Event::Message { id, seq, part, timestamp, rescued, payload } => {
                Told::Message { id, seq, part, timestamp, rescued, payload: payload.to_vec() }
            }
            Event::Gap { id, from, to } => Told::Gap { id, from, to },
            Event::Opened { id, seq, before, .. } => Told::Opened { id, seq, before },
            Event::Ended { id } => Told::Ended { id },
            Event::Silent { .. } => Told::Silent,
        });
    }
    told
}
