//! What becomes of the datagram at hand.

use headcast_proto::{Datagram, Refusal, Verdict};
use headcast_udp::Flaw;

use super::{Ready, Subscriber};

impl Subscriber {
    /// Takes in the datagram at hand if it is what nearly all are; returns whether it is, and so a message to be handed
    /// on. All others come to the same the long way: they are to be judged.
    // Always: as a function it costs a tenth more instructions for each datagram.
    #[expect(clippy::inline_always, reason = "measured")]
    #[inline(always)]
    pub(super) fn take_next(&mut self) -> bool {
        let inbox = &self.mailbox.inbox;
        if self.unusual || inbox.flaw().is_some() {
            return false;
        }
        let Some(datagram) = Datagram::parse_plain(inbox.segment()) else { return false };
        let is_next = self.receiver.accept_next(self.now, &datagram);
        if is_next {
            self.counters.delivered.add(1);
        }
        is_next
    }

    /// Judges the datagram at hand; returns what of it is to be handed on.
    #[inline(never)]
    pub(super) fn judge(&mut self) -> Ready {
        let inbox = &self.mailbox.inbox;
        if inbox.flaw().is_some() || self.unusual {
            let wanted = self.is_wanted();
            if !wanted || self.raw {
                return if wanted { Ready::Raw } else { Ready::Nothing };
            }
        }
        let bytes = self.mailbox.inbox.segment();
        let datagram = match Datagram::parse(bytes) {
            Ok(datagram) => datagram,
            Err(refusal) => {
                self.refusals.count(refusal);
                return Ready::Nothing;
            }
        };
        let verdict = self.receiver.accept_other(self.now, &datagram);
        if let Some(place) = self.receiver.noticed() {
            self.sources[place] = self.mailbox.inbox.segment_source();
        }
        match verdict {
            Verdict::Deliver { rescued, .. } => {
                if datagram.is_coalesced() {
                    self.parts.begin(bytes.len(), &datagram);
                    self.counters.count_shared(datagram.messages().into(), rescued);
                    self.next_part();
                    return Ready::Part;
                }
                self.counters.delivered.add(1);
                if rescued {
                    self.counters.rescued.add(1);
                }
                return Ready::Whole;
            }
            Verdict::Kept => self.counters.kept.add(1),
            Verdict::Duplicate => self.counters.duplicates.add(1),
            Verdict::Ended | Verdict::Noted => self.counters.notes.add(1),
            Verdict::Refused(refusal) => self.refusals.count(refusal),
        }
        Ready::Nothing
    }

    /// Whether the datagram at hand is to be looked at, when it has a flaw, is raw, or may be dropped on purpose.
    #[cold]
    fn is_wanted(&mut self) -> bool {
        let inbox = &self.mailbox.inbox;
        if let Some(impairment) = &mut self.impairment
            && impairment(inbox.segment())
        {
            self.counters.impaired.add(1);
            return false;
        }
        match inbox.flaw() {
            None => self.counters.delivered.add(self.raw.into()),
            Some(Flaw::Truncated) => self.counters.truncated.add(1),
            Some(Flaw::SegmentSize) => self.refusals.count(Refusal::PayloadLength),
        }
        inbox.flaw().is_none()
    }
}
