//! A subscriber: one real receiver, and beside it the books of what it should do.

mod events;
mod ledgers;

use std::rc::Rc;

use headcast_proto::receiver::NAK_MAX;
use headcast_proto::{Datagram, Now, Receiver, Refusal, Sequencer, Session, Verdict};

use crate::checks::Checked;
use crate::checks::receiver::{
    Verdicts, it_comes_to_rest, lost_agrees_with_the_gaps, memory_stays_within_its_limit,
    nothing_is_missing_at_the_end, verdicts_add_up,
};
use crate::mail::{Address, Mail, Purpose};
use crate::plan::SubscriberPlan;
use crate::records::Records;
use crate::story::Story;
use events::Heard;
use ledgers::Ledgers;

/// One run of a subscriber.
#[derive(Debug)]
pub(crate) struct Subscriber {
    receiver: Receiver,
    memory_limit: usize,
    /// Anything may be forged: only what holds under any input is checked.
    wild: bool,
    /// Where requests go, for each place in the receiver's table.
    sources: Vec<Option<Address>>,
    pub(crate) ledgers: Ledgers,
    pub(crate) verdicts: Verdicts,
    heard: Vec<Heard>,
    bytes: Vec<u8>,
    /// Sequences told as lost, in all.
    told_lost: u64,
    /// What this step has told as lost: the record, the first and the last.
    pub(crate) gaps: Vec<(usize, u64, u64)>,
    steps: u64,
}

/// Counting what is missing takes time: if the windows are large it is not done in every step.
const COUNT_EVERY: u64 = 16;

/// How often a receiver may want to be called again at once.
const CALLS_MAX: u32 = 100;

impl Subscriber {
    pub(crate) fn start(plan: &SubscriberPlan, wild: bool, now: Now, random: u32) -> Self {
        let mut receiver = Receiver::new(&plan.limits, &plan.streams).order(plan.order).history(plan.history);
        if plan.asks {
            let session = Session::new(now.unix_ns / 1_000_000, random);
            receiver = receiver.asking(Sequencer::new(plan.id, session, 0));
        }
        if plan.since {
            receiver = receiver.since(now);
        }
        Self {
            receiver,
            memory_limit: plan.limits.memory,
            wild,
            sources: vec![None; plan.limits.publishers],
            ledgers: Ledgers::new(plan, now),
            verdicts: Verdicts::default(),
            heard: Vec::new(),
            bytes: Vec::new(),
            told_lost: 0,
            gaps: Vec::new(),
            steps: 0,
        }
    }

    /// Takes one datagram in.
    pub(crate) fn accept(
        &mut self,
        now: Now,
        from: Address,
        bytes: &[u8],
        records: &Records,
        story: Story,
        out: &mut Vec<Mail>,
    ) -> Checked {
        self.verdicts.arrived += 1;
        let Ok(datagram) = Datagram::parse(bytes) else {
            self.verdicts.unparsed += 1;
            return Ok(());
        };
        let missing = self.ledgers.may_leap(&datagram).then(|| self.receiver.missing());
        let verdict = self.receiver.accept(now, &datagram);
        let more_missing =
            missing.map_or(0, |missing| self.receiver.missing().cast_signed() - missing.cast_signed());
        if let Some(place) = self.receiver.noticed() {
            self.sources[place] = Some(from);
        }
        story.tell(|| {
            let (seq, path) = (datagram.seq(), datagram.header().path);
            format!(
                "    {:?} {seq} of {}, path {path:#04x}: {verdict:?}",
                datagram.kind(),
                datagram.session()
            )
        });
        self.count(verdict);
        self.listen();
        if !self.wild {
            let heard = std::mem::take(&mut self.heard);
            let opens = heard.iter().any(|heard| matches!(heard, Heard::Opened { .. }));
            self.ledgers.excused =
                opens || matches!(verdict, Verdict::Refused(Refusal::Memory | Refusal::MessageTooLong));
            self.ledgers.judged(now, &datagram, verdict, more_missing, &heard, records)?;
            self.heard = heard;
        }
        self.settle(now, records, story, out)
    }

    /// When it has something to do.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.receiver.deadline_ns()
    }

    /// Does what is due. If that is more than the receiver can tell at once, it wants to be called again.
    pub(crate) fn tick(&mut self, now: Now, records: &Records, story: Story, out: &mut Vec<Mail>) -> Checked {
        for _ in 0..CALLS_MAX {
            self.receiver.tick(now);
            self.ledgers.excused = false;
            self.listen();
            self.settle(now, records, story, out)?;
            if self.receiver.deadline_ns() > now.mono_ns {
                break;
            }
        }
        it_comes_to_rest(&self.receiver, now.mono_ns)
    }

    /// After the events: requests, and what must hold after every step.
    fn settle(&mut self, now: Now, records: &Records, story: Story, out: &mut Vec<Mail>) -> Checked {
        let heard = std::mem::take(&mut self.heard);
        self.gaps.clear();
        for event in &heard {
            story.tell(|| format!("    tells {event:?}"));
            if let Heard::Gap { id, from, to } = *event {
                self.told_lost = self.told_lost.saturating_add((to - from).saturating_add(1));
                if let Some(record) = records.find(id) {
                    self.gaps.push((record, from, to));
                }
            }
            if !self.wild {
                self.ledgers.told(now, event, &self.bytes, records)?;
            }
        }
        self.heard = heard;
        self.request(now, records, story, out)?;
        memory_stays_within_its_limit(&self.receiver, self.memory_limit)?;
        lost_agrees_with_the_gaps(&self.receiver, self.told_lost)?;
        verdicts_add_up(&self.verdicts)?;
        self.steps += 1;
        let counts = self.ledgers.span < 2_000 || self.steps.is_multiple_of(COUNT_EVERY);
        if counts && !self.wild { self.ledgers.missing_agrees(&self.receiver) } else { Ok(()) }
    }

    fn request(&mut self, now: Now, records: &Records, story: Story, out: &mut Vec<Mail>) -> Checked {
        let mut nak = [0; NAK_MAX];
        while let Some(request) = self.receiver.request(now, &mut nak) {
            let bytes = &nak[..request.len];
            if !self.wild {
                self.ledgers.requested(now, bytes, records)?;
            }
            story.tell(|| format!("    asks {:?}: {}", self.sources[request.place], asked_for(bytes)));
            if let Some(to) = self.sources[request.place] {
                out.push(Mail { to, bytes: Rc::from(bytes), purpose: Purpose::Request });
            }
        }
        Ok(())
    }

    fn count(&mut self, verdict: Verdict) {
        let verdicts = &mut self.verdicts;
        *match verdict {
            Verdict::Deliver { .. } => &mut verdicts.delivered,
            Verdict::Kept => &mut verdicts.kept,
            Verdict::Duplicate => &mut verdicts.duplicates,
            Verdict::Ended | Verdict::Noted => &mut verdicts.noted,
            Verdict::Refused(_) => &mut verdicts.refused,
        } += 1;
    }

    /// What must hold in the end, when all is quiet.
    pub(crate) fn at_the_end(&self, waiting_since_ns: u64) -> Checked {
        nothing_is_missing_at_the_end(&self.receiver)?;
        self.ledgers.all().iter().try_for_each(|ledger| ledger.nothing_waits_for_ever(waiting_since_ns))
    }

    /// It is about to stop: what is missing will not come any more.
    pub(crate) fn finish(&mut self, now: Now, records: &Records, story: Story) -> Checked {
        let mut out = Vec::new();
        loop {
            let more = self.receiver.finish();
            self.ledgers.excused = true;
            self.listen();
            self.settle(now, records, story, &mut out)?;
            if !more {
                break;
            }
        }
        if self.wild {
            return Ok(());
        }
        nothing_is_missing_at_the_end(&self.receiver)?;
        self.ledgers
            .all()
            .iter()
            .try_for_each(|ledger| ledger.everything_is_accounted_for(&records.all[ledger.record]))
    }
}

/// The sequences of a request, for the story.
fn asked_for(bytes: &[u8]) -> String {
    let entries = Datagram::parse(bytes).ok().and_then(|nak| {
        let (_, entries) = headcast_proto::body::nak(nak.payload()).ok()?;
        Some(format!("{:?}", headcast_proto::body::nak_sequences(entries).collect::<Vec<_>>()))
    });
    entries.unwrap_or_else(|| "nothing that can be read".into())
}
