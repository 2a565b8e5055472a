//! Subscribers that lost something ask for it.

use headcast_proto::header::path;
use headcast_proto::repair::Asker;
use headcast_proto::{Datagram, Kind, Now, Schedule, Sequencer, body};

use super::Publisher;
use crate::checks::Checked;
use crate::mail::{Address, Mail, Purpose};

impl Publisher {
    /// Reads what has come to the socket that sends: requests of peers, for this session.
    pub(crate) fn receive(&mut self, from: Address, bytes: &[u8], now: Now) -> Checked {
        let Ok(datagram) = Datagram::parse(bytes) else { return Ok(()) };
        if datagram.kind() != Kind::Nak {
            return Ok(());
        }
        let Ok((head, entries)) = body::nak(datagram.payload()) else { return Ok(()) };
        let ours = head.publisher.get() == self.id.publisher
            && head.session.get() == self.id.session.to_bits()
            && head.stream.get() == self.id.stream;
        let peer = self.peers.iter().position(|(peer, _)| *peer == from);
        let Self { schedule, sequencer, ring, stream_bytes, repairs, peers, .. } = self;
        let len = |seq: u64| ring[seq as usize % ring.len()].len();
        let stored = |seq: u64| is_stored(schedule, sequencer, ring.len(), seq).then(|| len(seq));
        let (true, Some(at), Some(repairs)) = (ours, peer, repairs) else { return Ok(()) };
        let session = datagram.session().to_bits();
        let asker = Asker {
            peer: at as u32,
            session,
            now_ns: now.mono_ns,
            stream_bytes: *stream_bytes,
            last_seq: sequencer.last_seq(),
        };
        let asked = repairs.ask(asker, &mut peers[at].1, entries, stored);
        match &mut self.answers {
            Some(answers) => answers.asked(from, session, now.mono_ns, asked),
            None => Ok(()),
        }
    }

    /// Sends one repair; returns whether one was waiting.
    pub(super) fn send_repair(&mut self, now: Now, out: &mut Vec<Mail>) -> Checked<bool> {
        let Some(repair) = self.repairs.as_mut().and_then(|repairs| repairs.next(now.mono_ns)) else {
            return Ok(false);
        };
        let Some(answers) = &mut self.answers else { return Ok(true) };
        // It may have been overwritten since it was asked for.
        if !is_stored(&self.schedule, &self.sequencer, self.ring.len(), repair.seq) {
            answers.gone();
            return Ok(true);
        }
        let to = self.peers[repair.peer as usize].0;
        let len = self.ring[repair.seq as usize % self.ring.len()].len() as u64;
        answers.sent(to, repair.seq, len, now.mono_ns, self.stream_bytes)?;
        let bytes = self.stored_as(repair.seq, path::RETRANSMISSION);
        out.push(Mail { to, bytes, purpose: Purpose::Repair });
        Ok(true)
    }

    /// Whether a sequence can be sent again.
    pub(crate) fn stores(&self, seq: u64) -> bool {
        is_stored(&self.schedule, &self.sequencer, self.ring.len(), seq)
    }
}

/// Whether a datagram has gone out once and still lies in its slot. The slot after the last one is left out,
/// for in a real publisher somebody may be writing there.
fn is_stored(schedule: &Schedule, sequencer: &Sequencer, slots: usize, seq: u64) -> bool {
    let sent = schedule.last_sent().map_or(0, |(seq, _)| seq);
    (1..=sent).contains(&seq) && sequencer.last_seq() - seq + 1 < slots as u64
}
