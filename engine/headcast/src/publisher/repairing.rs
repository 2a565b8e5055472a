//! Receivers that lost something ask for it: their requests come in, and what they lack goes out to them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use headcast_proto::header::{PATH_OFFSET, path};
use headcast_proto::repair::{Asker, Repair, Repairs};
use headcast_proto::{Datagram, HEADER_LEN, Kind, Schedule, Sequencer, body};

use super::Publisher;
use super::sending::Due;
use crate::clock;
use crate::counters::PublisherCounters;
use crate::egress::{Answers, Fanout, Single};
use crate::ring::Ring;

/// Repairs that one turn sends while nothing else is due: a message that comes meanwhile waits for no more
/// system calls than that.
const REPAIRS_MAX: usize = 16;
/// While first copies leave no time for anything else, a repair is sent for so many of their datagrams.
const FIRST_COPIES_EACH: usize = 10;

/// The answering end of repairs.
pub(super) struct Repairing {
    pub(super) answers: Answers,
    repairs: Repairs,
    /// The one that can be asked about.
    stream: u16,
    /// The one that there was no room for in the socket's buffer.
    blocked: Option<Repair>,
}

impl Repairing {
    pub(super) fn new(answers: Answers, repairs: Repairs, stream: u16) -> Self {
        Self { answers, repairs, stream, blocked: None }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.blocked.is_none() && self.repairs.is_empty() && !self.answers.is_ready()
    }
}

impl Publisher {
    /// Answers receivers though the owner does not turn. No message may be being cut.
    #[cold]
    pub(super) fn attend(&mut self) -> io::Result<()> {
        if self.repairing.is_some() {
            self.turn(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// Whether requests may be waiting to be read.
    #[inline]
    pub(super) fn is_asked(&self) -> bool {
        self.repairing.as_ref().is_some_and(|repairing| repairing.answers.is_ready())
    }

    /// Reads what receivers have sent.
    #[cold]
    pub(super) fn take_requests(&mut self) {
        let Self { repairing: Some(repairing), fanout, ring, schedule, sequencer, counters, .. } = self
        else {
            return;
        };
        let Repairing { answers, repairs, stream, .. } = &mut **repairing;
        let mut desk = Desk {
            repairs,
            stored: Stored { ring, schedule, sequencer },
            fanout,
            counters,
            stream: *stream,
            now_ns: clock::mono_ns(),
        };
        answers.receive(counters, |from, bytes| desk.take(from, bytes));
    }

    /// Sends repairs that wait, as many as there is time for: some while nothing else is due, and a share
    /// while something always is. No pass may be under way.
    pub(super) fn send_repairs(&mut self, due: &mut Due) -> io::Result<()> {
        let most =
            if due.more { (due.sent * self.fanout.len() / FIRST_COPIES_EACH).max(1) } else { REPAIRS_MAX };
        let Self { repairing: Some(repairing), fanout, ring, schedule, sequencer, counters, egress, .. } =
            self
        else {
            return Ok(());
        };
        let now_ns = clock::mono_ns();
        for _ in 0..most {
            let next = repairing.blocked.take().or_else(|| repairing.repairs.next(now_ns));
            let Some(repair) = next else { return Ok(()) };
            // It may have been overwritten since it was asked for.
            if (Stored { ring, schedule, sequencer }).datagram_len(repair.seq).is_none() {
                counters.repairs_gone.add(1);
                continue;
            }
            // Whatever copy goes out of this slot later has its own path byte written first, and the first
            // copy has gone out.
            let datagram = ring.slot_mut(repair.seq).datagram_mut();
            datagram[PATH_OFFSET] = path::RETRANSMISSION;
            match egress.send_one(self.poll.registry(), fanout, datagram, repair.peer, counters)? {
                Single::Sent => counters.repairs_sent.add(1),
                Single::Failed => counters.repairs_failed.add(1),
                Single::Blocked => {
                    repairing.blocked = Some(repair);
                    return Ok(());
                }
            }
        }
        due.more |= !repairing.repairs.is_empty();
        Ok(())
    }

    /// Forgets the repairs that wait: the peers have changed their places.
    pub(super) fn forget_repairs(&mut self) {
        let Some(repairing) = &mut self.repairing else { return };
        let forgotten = repairing.repairs.clear() + usize::from(repairing.blocked.take().is_some());
        self.counters.repairs_forgotten.add(forgotten as u64);
    }
}

/// What it takes to answer a request.
struct Desk<'a> {
    repairs: &'a mut Repairs,
    stored: Stored<'a>,
    fanout: &'a mut Fanout,
    counters: &'a PublisherCounters,
    stream: u16,
    now_ns: u64,
}

impl Desk<'_> {
    /// Takes in what somebody has sent, if it is a request of a peer.
    fn take(&mut self, from: Option<SocketAddr>, bytes: Option<&[u8]>) {
        let (sequencer, counters) = (self.stored.sequencer, self.counters);
        let Some(Ok(datagram)) = bytes.map(Datagram::parse) else { return counters.malformed.add(1) };
        if datagram.kind() != Kind::Nak {
            return counters.strays.add(1);
        }
        let Ok((head, entries)) = body::nak(datagram.payload()) else { return counters.malformed.add(1) };
        let named = (head.publisher.get(), head.session.get(), head.stream.get());
        if named != (sequencer.publisher(), sequencer.session().to_bits(), self.stream) {
            return counters.naks_foreign.add(1);
        }
        let Some((peer, credit)) = from.and_then(|from| self.fanout.credit(from)) else {
            return counters.naks_stranger.add(1);
        };
        let headers = sequencer.last_seq().saturating_mul(HEADER_LEN as u64);
        let asker = Asker {
            peer,
            session: datagram.session().to_bits(),
            now_ns: self.now_ns,
            stream_bytes: counters.message_bytes.get().saturating_add(headers),
            last_seq: sequencer.last_seq(),
        };
        let asked = self.repairs.ask(asker, credit, entries, |seq| self.stored.datagram_len(seq));
        counters.naks.add(1);
        let refused = asked.gone + asked.repeated + asked.over_budget + asked.excess + asked.full;
        counters.asked.add(asked.queued + refused);
        counters.repairs_gone.add(asked.gone);
        counters.repairs_repeated.add(asked.repeated);
        counters.repairs_over_budget.add(asked.over_budget);
        counters.repairs_excess.add(asked.excess);
        counters.repairs_full.add(asked.full);
    }
}

/// The datagrams that can be sent again.
struct Stored<'a> {
    ring: &'a Ring,
    schedule: &'a Schedule,
    sequencer: &'a Sequencer,
}

impl Stored<'_> {
    /// The length of a datagram, if it has gone out once and lies in its slot as it was sealed.
    ///
    /// Who writes to a slot that held a datagram: sealing, which writes its header anew, so the header tells;
    /// the receive call, which writes to the payload alone, and whose slots are sealed or [forgotten] right
    /// after; and a claim. That may be abandoned half-written, with the old header in front of it, but it is
    /// always in the slot after the last sealed one, which is therefore left out. So is what was dropped to
    /// make room before it had gone out: that is done when the ring is full, one at a time, for that slot; or
    /// for several at once, which are all sealed before anybody can ask.
    ///
    /// [forgotten]: crate::ring::Slot::forget
    fn datagram_len(&self, seq: u64) -> Option<usize> {
        let (last_sent, _) = self.schedule.last_sent()?;
        let behind = self.sequencer.last_seq().checked_sub(seq).filter(|_| seq <= last_sent)?;
        if behind + 1 >= self.ring.len() as u64 {
            return None;
        }
        let bytes = self.ring.slot(seq).datagram();
        let datagram = Datagram::parse(bytes).ok()?;
        (datagram.seq() == seq && datagram.session() == self.sequencer.session()).then_some(bytes.len())
    }
}
