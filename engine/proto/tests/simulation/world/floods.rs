//! What strangers send.

use headcast_proto::body::{NakEntry, NakHead};
use headcast_proto::header::{FRAGMENTS_MAX, HEADER_LEN, Kind, flags};
use headcast_proto::{Sequencer, Session, StreamId};
use zerocopy::IntoBytes;

use super::World;
use crate::checks::Checked;
use crate::mail::Address;
use crate::plan::{Flood, MS, Node, SECOND};

const STRANGER: Address = Address { node: Node::Stranger, host: 0 };

impl World {
    pub(super) fn flood(&mut self, node: Node, kind: Flood, count: u64) -> Checked {
        for _ in 0..count {
            let (from, bytes) = match kind {
                Flood::Noise => (STRANGER, self.noise()),
                Flood::Publishers => (STRANGER, self.of_nobody()),
                Flood::Sessions => (STRANGER, self.of_another_session()),
                Flood::Jump => match self.far_ahead(node) {
                    Some((id, seq, run)) => {
                        for seq in seq..seq.saturating_add(run) {
                            let bytes = self.forge(id, seq);
                            self.reach(node, STRANGER, &bytes)?;
                        }
                        continue;
                    }
                    None => continue,
                },
                Flood::Requests => self.request_of_anybody(node),
                Flood::Anything => (self.anybody(), self.anything(node)),
            };
            self.reach(node, from, &bytes)?;
        }
        Ok(())
    }

    fn reach(&mut self, node: Node, from: Address, bytes: &[u8]) -> Checked {
        let to = self.address(node);
        match node {
            Node::Publisher(at) => self.publisher_receive(at, to, from, bytes),
            Node::Subscriber(at) => self.subscriber_accept(at, to, from, bytes),
            Node::Stranger => Ok(()),
        }
    }

    fn noise(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; self.rng.below(200) as usize];
        self.rng.fill(&mut bytes);
        if self.rng.chance(0.5) && !bytes.is_empty() {
            // Past the first check.
            bytes[0] = 0x10;
        }
        bytes
    }

    /// A valid datagram of a stream.
    fn forge(&mut self, id: StreamId, seq: u64) -> Vec<u8> {
        let mut sequencer = Sequencer::new(id.publisher, id.session, id.stream);
        let now = self.now_of(Node::Stranger);
        let mut bytes = vec![0; HEADER_LEN];
        match self.rng.below(5) {
            0 => sequencer.heartbeat((&mut bytes[..]).try_into().expect("as long as a header"), now),
            1 => sequencer.end((&mut bytes[..]).try_into().expect("as long as a header"), now),
            2 => {
                let messages = self.rng.between(1, 20) as u16;
                bytes.extend([[1, 0, 0x5a]; 20].concat()[..usize::from(messages) * 3].iter());
                sequencer.seal_coalesced(&mut bytes, now, messages);
            }
            _ => {
                bytes.resize(HEADER_LEN + self.rng.below(20) as usize, 0x5a);
                sequencer.seal(&mut bytes, now);
            }
        }
        bytes[24..32].copy_from_slice(&seq.to_le_bytes());
        bytes
    }

    /// A session that may have started about now.
    fn some_session(&mut self) -> Session {
        let now_ms = self.now_of(Node::Stranger).unix_ns / 1_000_000;
        let start_ms = now_ms - self.rng.below(20_000);
        Session::new(start_ms, self.rng.bits() as u32)
    }

    fn some_seq(&mut self) -> u64 {
        match self.rng.below(4) {
            0 => u64::MAX - self.rng.below(3),
            1 => self.rng.bits().max(1),
            _ => self.rng.between(1, 100),
        }
    }

    fn of_nobody(&mut self) -> Vec<u8> {
        let id = StreamId {
            publisher: 5_000 + self.rng.below(20) as u32,
            session: self.some_session(),
            stream: self.rng.pick(&[0, 7]),
        };
        let seq = self.some_seq();
        self.forge(id, seq)
    }

    fn of_another_session(&mut self) -> Vec<u8> {
        let at = self.rng.below(self.plan.publishers.len() as u64) as usize;
        let session = self.some_session();
        let plan = &self.plan.publishers[at];
        let id = StreamId { publisher: plan.id, session, stream: plan.stream };
        let seq = self.some_seq();
        if self.records.find(id).is_some() {
            return self.noise();
        }
        let mut bytes = self.forge(id, seq);
        if self.rng.chance(0.3) {
            // Of another time.
            let later_ns = self.rng.magnitude(SECOND, 1_000_000 * SECOND);
            let timestamp = self.now_of(Node::Stranger).unix_ns + later_ns;
            bytes[32..40].copy_from_slice(&timestamp.to_le_bytes());
        }
        bytes
    }

    /// A sequence more than a window ahead, in a session that the subscriber hears, and how many in a row: several
    /// only while the stream itself brings something new, so that they are not believed. Not near to any other
    /// run, which would confirm it later.
    fn far_ahead(&mut self, node: Node) -> Option<(StreamId, u64, u64)> {
        let Node::Subscriber(at) = node else { return None };
        let ledgers = &self.subscribers[at].run.as_ref()?.ledgers;
        let heard: Vec<_> = ledgers.all().iter().filter(|ledger| ledgers.is_current(ledger.id)).collect();
        let ledger = heard.get(self.rng.below(heard.len().max(1) as u64) as usize)?;
        let id = ledger.id;
        let run = if self.now_ns - ledger.new_ns < 50 * MS { self.rng.between(1, 30) } else { 1 };
        let seq = match self.rng.below(3) {
            0 => u64::MAX,
            1 => u64::MAX - 1_000 * self.rng.between(1, 1 << 40),
            _ => ledger.known + ledgers.span + 1_000 * self.rng.between(1 << 20, 1 << 50),
        };
        Some((id, seq, run))
    }

    fn anybody(&mut self) -> Address {
        let subscriber = self.rng.below(self.subscribers.len() as u64) as usize;
        let publisher = self.rng.below(self.publishers.len() as u64) as usize;
        match self.rng.below(3) {
            0 => self.address(Node::Subscriber(subscriber)),
            1 => self.address(Node::Publisher(publisher)),
            _ => STRANGER,
        }
    }

    fn request_of_anybody(&mut self, node: Node) -> (Address, Vec<u8>) {
        let from = self.anybody();
        let Node::Publisher(at) = node else { return (from, self.noise()) };
        let plan = &self.plan.publishers[at];
        let (publisher, stream) = (plan.id, plan.stream);
        let session = match &self.publishers[at].run {
            Some(run) if self.rng.chance(0.8) => run.session(),
            _ => self.some_session(),
        };
        let count = self.rng.between(1, 16) as u16;
        let head = NakHead {
            publisher: publisher.into(),
            stream: stream.into(),
            count: count.into(),
            session: session.to_bits().into(),
        };
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend_from_slice(head.as_bytes());
        for _ in 0..count {
            let base = if self.rng.chance(0.2) { self.some_seq() } else { self.rng.between(1, 2_000) };
            let bitmap = if self.rng.chance(0.5) { self.rng.bits() } else { 0 };
            bytes.extend_from_slice(NakEntry { base: base.into(), bitmap: bitmap.into() }.as_bytes());
        }
        let own = self.some_session();
        let now = self.now_of(Node::Stranger);
        Sequencer::new(77, own, 0).seal_nak(&mut bytes, now);
        (from, bytes)
    }

    /// What a true publisher could send, and what none would.
    fn anything(&mut self, node: Node) -> Vec<u8> {
        if let Node::Publisher(_) = node {
            return self.request_of_anybody(node).1;
        }
        let record = self.rng.below(self.records.all.len().max(1) as u64) as usize;
        let Some((id, last)) = self.records.all.get(record).map(|record| (record.id, record.last_seq()))
        else {
            return self.noise();
        };
        let session = if self.rng.chance(0.2) { self.some_session() } else { id.session };
        let seq = match self.rng.below(4) {
            0 => self.some_seq(),
            1 => last.saturating_sub(self.rng.below(100)).max(1),
            _ => last + self.rng.between(1, 300),
        };
        let mut bytes = self.forge(StreamId { session, ..id }, seq);
        if bytes[0] & 0x0f == Kind::Data as u8 && self.rng.chance(0.4) {
            bytes[1] |= flags::FRAGMENT;
            let count = self.rng.pick(&[2, 3, 60, FRAGMENTS_MAX]);
            let index = self.rng.below(u64::from(count)) as u16;
            bytes[12..14].copy_from_slice(&index.to_le_bytes());
            bytes[14..16].copy_from_slice(&count.to_le_bytes());
        }
        if self.rng.chance(0.1) {
            let at = self.rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << self.rng.below(8);
        }
        bytes
    }
}
