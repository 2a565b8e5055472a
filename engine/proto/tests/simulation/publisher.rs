//! A publisher: the parts that the real one drives, in the order in which it does.

mod answering;

use std::rc::Rc;

use headcast_proto::header::PATH_OFFSET;
use headcast_proto::packing::{LENGTH_LEN, MESSAGE_OFFSET, append};
use headcast_proto::repair::{Credit, Repairs};
use headcast_proto::schedule::Lagging;
use headcast_proto::{Datagram, HEADER_LEN, Heartbeat, Next, Now, Schedule, Sequencer, Session, StreamId};

use crate::checks::answers::{Answers, only_peers_are_sent_anything};
use crate::checks::copies::Copies;
use crate::checks::{Checked, ensure};
use crate::mail::{Address, Mail, Purpose};
use crate::plan::PublisherPlan;
use crate::records::{Published, Records, Shape, payload, shared_payload};

/// One run of a publisher.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// Which of the records is its own.
    pub(crate) record: usize,
    id: StreamId,
    shape: Shape,
    copies: usize,
    drop_oldest: bool,
    send_ns: u64,
    /// Datagrams that go out together, at most.
    train_max: u64,
    /// Until then it sends what it has sent last.
    busy_until_ns: u64,
    sequencer: Sequencer,
    schedule: Schedule,
    heartbeat: Heartbeat,
    /// When it said that it stops; from then on it says that in the place of heartbeats.
    ended_ns: Option<u64>,
    repairs: Option<Repairs>,
    pub(crate) answers: Option<Answers>,
    sent: Copies,
    ring: Vec<Vec<u8>>,
    peers: Vec<(Address, Credit)>,
    stream_bytes: u64,
    message: Vec<u8>,
}

impl Publisher {
    pub(crate) fn start(plan: &PublisherPlan, now: Now, random: u32, records: &mut Records) -> Self {
        let session = Session::new(now.unix_ns / 1_000_000, random);
        let id = StreamId { publisher: plan.id, session, stream: plan.stream };
        let sequencer = Sequencer::new(plan.id, session, plan.stream);
        let lagging = if plan.drop_oldest { Lagging::Shed } else { Lagging::Send };
        Self {
            record: records.begin(id, plan.shape, plan.repairs.is_some()),
            id,
            shape: plan.shape,
            copies: plan.copies,
            drop_oldest: plan.drop_oldest,
            send_ns: plan.send_ns,
            train_max: plan.train_max,
            busy_until_ns: 0,
            sequencer: if plan.repairs.is_some() { sequencer } else { sequencer.without_repair() },
            schedule: Schedule::new(plan.slots, plan.copies, plan.spacing_ns, lagging),
            heartbeat: Heartbeat::new(),
            ended_ns: None,
            repairs: plan.repairs.map(Repairs::new),
            answers: plan.repairs.map(Answers::new),
            sent: Copies::new(plan.copies, plan.spacing_ns, plan.slots),
            ring: vec![Vec::new(); plan.slots],
            peers: Vec::new(),
            stream_bytes: 0,
            message: Vec::new(),
        }
    }

    pub(crate) fn session(&self) -> Session {
        self.id.session
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = Address> {
        self.peers.iter().map(|(address, _)| *address)
    }

    /// What it sends goes to its peers.
    pub(crate) fn may_send_to(&self, to: Address) -> Checked {
        only_peers_are_sent_anything(self.peers().any(|peer| peer == to), to)
    }

    /// Takes a new peer set over. Whoever stays keeps its credit.
    pub(crate) fn adopt(&mut self, peers: &[Address], now: Now) -> Checked {
        if self.peers().eq(peers.iter().copied()) {
            return Ok(());
        }
        let credit = |address: &Address| {
            let known = self.peers.iter().find(|(peer, _)| peer == address);
            known.map_or_else(Credit::default, |(_, credit)| *credit)
        };
        self.peers = peers.iter().map(|address| (*address, credit(address))).collect();
        if let (Some(repairs), Some(answers)) = (&mut self.repairs, &mut self.answers) {
            let dropped = repairs.clear() as u64;
            answers.peers(peers, now.mono_ns, self.stream_bytes, dropped)?;
        }
        Ok(())
    }

    /// Takes in a message of so many parts. Returns its first sequence, if there was room.
    pub(crate) fn publish(&mut self, parts: u16, now: Now, records: &mut Records) -> Checked<Option<u64>> {
        // A message longer than the ring would have to go out in several turns.
        let parts = parts.min(self.ring.len() as u16 / 2);
        if self.ended_ns.is_some() || !self.make_room(usize::from(parts)) {
            return Ok(None);
        }
        let first = self.sequencer.last_seq() + 1;
        payload(self.id, self.shape, first, parts, &mut self.message);
        for index in 0..parts {
            let from = usize::from(index) * self.shape.part;
            let to = if index + 1 == parts { self.message.len() } else { from + self.shape.part };
            let mut datagram = vec![0; HEADER_LEN];
            datagram.extend_from_slice(&self.message[from..to]);
            let seq = if parts == 1 {
                self.sequencer.seal(&mut datagram, now)
            } else {
                self.sequencer.seal_fragment(&mut datagram, now, index, parts)
            };
            self.store(seq, datagram, Published { first, count: parts, shared: 0, timestamp: 0 }, records)?;
        }
        Ok(Some(first))
    }

    /// Takes in so many messages that go out in one datagram. Returns its sequence, if there was room.
    pub(crate) fn publish_shared(
        &mut self,
        shared: u16,
        now: Now,
        records: &mut Records,
    ) -> Checked<Option<u64>> {
        if self.ended_ns.is_some() || !self.make_room(1) {
            return Ok(None);
        }
        let first = self.sequencer.last_seq() + 1;
        // As in a slot of a ring: a message alone first, which others join.
        let mut room = vec![0; MESSAGE_OFFSET];
        shared_payload(self.id, self.shape, first, 0, &mut self.message);
        room.extend_from_slice(&self.message);
        let (seq, start) = if shared == 1 {
            room.copy_within(LENGTH_LEN..MESSAGE_OFFSET, 0);
            room[HEADER_LEN..MESSAGE_OFFSET].copy_from_slice(&(self.message.len() as u16).to_le_bytes());
            (self.sequencer.seal_coalesced(&mut room, now, 1), 0)
        } else {
            (self.sequencer.seal(&mut room[LENGTH_LEN..], now), LENGTH_LEN)
        };
        for part in 1..shared {
            shared_payload(self.id, self.shape, first, part, &mut self.message);
            room.extend_from_slice(&[0; LENGTH_LEN]);
            room.extend_from_slice(&self.message);
            let start = if part == 1 { start } else { 0 };
            let len = self.message.len();
            ensure(append(&mut room, start, len), "a_message_joins_an_open_datagram", || {
                format!("{part}, {len} B")
            })?;
        }
        let datagram = room;
        self.store(seq, datagram, Published { first, count: 1, shared, timestamp: 0 }, records)?;
        Ok(Some(seq))
    }

    /// Keeps a sealed datagram until it has gone out, and after that for whoever asks.
    fn store(&mut self, seq: u64, datagram: Vec<u8>, published: Published, records: &mut Records) -> Checked {
        self.schedule.push();
        self.stream_bytes += datagram.len() as u64;
        let timestamp = Datagram::parse(&datagram).map_or(0, |sealed| sealed.timestamp());
        self.sent.timestamps_increase(timestamp)?;
        records.all[self.record].datagrams.push(Published { timestamp, ..published });
        let slot = self.slot(seq);
        self.ring[slot] = datagram;
        Ok(())
    }

    fn make_room(&mut self, parts: usize) -> bool {
        while self.drop_oldest && self.schedule.room() < parts {
            self.schedule.drop_oldest();
        }
        self.schedule.room() >= parts
    }

    /// Sends what is due: first copies, then what was asked for, then later copies and heartbeats.
    /// Returns when there is something to do next.
    pub(crate) fn turn(&mut self, now: Now, out: &mut Vec<Mail>) -> Checked<u64> {
        let next_ns = loop {
            if self.busy_until_ns > now.mono_ns {
                return Ok(self.busy_until_ns);
            }
            let before = out.len();
            let next = self.schedule.next(now.mono_ns);
            if matches!(next, Next::Send { copy: 0, .. }) || !self.send_repair(now, out)? {
                match next {
                    Next::Send { seq, copy } => {
                        let purpose = if copy == 0 { Purpose::First } else { Purpose::Later };
                        let goes_on = self.schedule.goes_on(seq, copy);
                        let run = if goes_on {
                            self.schedule.run(seq, copy, self.train_max, now.mono_ns)
                        } else {
                            1
                        };
                        for seq in seq..seq + run {
                            self.sent.copies_are_spaced(seq, copy, now.mono_ns)?;
                            let bytes = self.stored_as(seq, copy);
                            self.to_all(&bytes, purpose, out);
                        }
                        self.schedule.sent_run(seq, run, copy, now.mono_ns);
                    }
                    Next::At(at_ns) => break at_ns,
                    Next::Idle => break u64::MAX,
                }
            }
            self.busy_until_ns = now.mono_ns + self.send_ns * (out.len() - before) as u64;
        };
        Ok(next_ns.min(self.beat(now, out)))
    }

    /// Says that it is there, if that is due; returns when it is next.
    fn beat(&mut self, now: Now, out: &mut Vec<Mail>) -> u64 {
        let since_ns = self.ended_ns.or(self.schedule.last_sent().map(|(_, sent_ns)| sent_ns));
        let Some(since_ns) = since_ns.filter(|_| !self.peers.is_empty()) else { return u64::MAX };
        if self.heartbeat.due_ns(since_ns) <= now.mono_ns {
            self.say(0, now, out);
            self.heartbeat.sent(now.mono_ns);
        }
        self.heartbeat.due_ns(since_ns)
    }

    fn say(&self, copy: u8, now: Now, out: &mut Vec<Mail>) {
        let mut bytes = [0; HEADER_LEN];
        let purpose = if self.ended_ns.is_some() {
            self.sequencer.end(&mut bytes, now);
            Purpose::End
        } else {
            self.sequencer.heartbeat(&mut bytes, now);
            Purpose::Heartbeat
        };
        bytes[PATH_OFFSET] = copy;
        self.to_all(&Rc::from(&bytes[..]), purpose, out);
    }

    /// What must hold when nothing waits to be sent any more.
    pub(crate) fn at_the_end(&self) -> Checked {
        let waiting = self.schedule.backlog();
        ensure(waiting == 0, "a_publisher_comes_to_its_end", || format!("{waiting} datagrams wait"))?;
        self.sent.every_copy_goes_out(self.sequencer.last_seq(), self.schedule.shed())
    }

    /// Says that it stops, in as many copies as a message.
    pub(crate) fn farewell(&mut self, now: Now, out: &mut Vec<Mail>) {
        if self.sequencer.last_seq() > 0 {
            self.ended_ns = Some(now.mono_ns);
            (0..self.copies).for_each(|copy| self.say(copy as u8, now, out));
        }
    }

    fn to_all(&self, bytes: &Rc<[u8]>, purpose: Purpose, out: &mut Vec<Mail>) {
        out.extend(self.peers().map(|to| Mail { to, bytes: Rc::clone(bytes), purpose }));
    }

    /// What lies in the slot of a sequence, with this path byte.
    fn stored_as(&self, seq: u64, path: u8) -> Rc<[u8]> {
        let mut bytes: Rc<[u8]> = Rc::from(&self.ring[self.slot(seq)][..]);
        if let Some(bytes) = Rc::get_mut(&mut bytes) {
            bytes[PATH_OFFSET] = path;
        }
        bytes
    }

    fn slot(&self, seq: u64) -> usize {
        (seq & (self.ring.len() as u64 - 1)) as usize
    }
}
