//! How every world ends: the network heals, and after a while everything that is sent must arrive.

use headcast_proto::Order;

use super::agenda::{Happening, Phase};
use super::{Totals, World};
use crate::checks::{Checked, ensure};
use crate::network::Conditions;
use crate::plan::{MS, Node, SECOND, SubscriberPlan};
use crate::subscriber::Subscriber;

/// What was sent before the network healed has arrived after this, and whoever was paused or away is back.
const SETTLED_NS: u64 = SECOND;
/// A hole that was noticed so long ago has been given up, whatever was learned about the network.
const PATIENCE_NS: u64 = 5_100 * MS;
/// And after this, if its publisher is heard.
const GIVEN_UP_NS: u64 = 3_500 * MS;
/// Messages so long find room at every subscriber: of one publisher, or of several at the same time.
const LAST_PARTS_ALONE: u64 = 4;
const LAST_PARTS: u64 = 2;

impl World {
    pub(super) fn enter(&mut self, phase: Phase) -> Checked {
        if phase != self.phase {
            self.story.tell(|| format!("phase {phase:?}"));
        }
        self.phase = phase;
        match phase {
            Phase::Warm => {
                for (links, planned) in self.links.iter_mut().zip(&self.plan.paths) {
                    links.iter_mut().zip(planned).for_each(|(link, planned)| link.change(*planned));
                }
                self.begin_measuring();
            }
            Phase::Healed => self.heal(),
            Phase::Greeting | Phase::LastWords => return self.speak(phase),
            Phase::Farewell => return self.farewell(),
            Phase::Draining => self.end_measuring(),
            Phase::Active | Phase::Over => {}
        }
        Ok(())
    }

    fn heal(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.change(Conditions::perfect(link.delay_ns()));
        }
        self.healed_ns = self.now_ns + SETTLED_NS;
        let greeting_ns = self.now_ns + self.plan.idle_ns;
        // Spread over more than the time after which a leap ahead is believed.
        for i in 0..12 {
            self.agenda.at(greeting_ns + i * 20 * MS, Happening::Phase(Phase::Greeting));
        }
        let last_words_ns = greeting_ns + GIVEN_UP_NS;
        for i in 0..20 {
            self.agenda.at(last_words_ns + i * 3 * MS, Happening::Phase(Phase::LastWords));
        }
        let farewell_ns = last_words_ns + 1500 * MS;
        self.agenda.at(farewell_ns, Happening::Phase(Phase::Farewell));
        self.agenda.at(farewell_ns + 300 * MS, Happening::Phase(Phase::Over));
    }

    /// Every publisher publishes a message.
    fn speak(&mut self, phase: Phase) -> Checked {
        for at in 0..self.publishers.len() {
            let last = phase == Phase::LastWords;
            let long = last && self.plan.publishers[at].long > 0.0;
            let most = if self.publishers.len() == 1 { LAST_PARTS_ALONE } else { LAST_PARTS };
            let parts = if long { self.rng.between(1, most) as u16 } else { 1 };
            let seq = self.publish_parts(at, parts)?;
            if let (true, Some(seq), Some(run)) = (last, seq, &self.publishers[at].run) {
                self.last_words.push((run.record, seq));
            }
            self.publisher_turn(at)?;
        }
        Ok(())
    }

    fn farewell(&mut self) -> Checked {
        for at in 0..self.publishers.len() {
            let (now, from) = (self.now_of(Node::Publisher(at)), self.address(Node::Publisher(at)));
            if let Some(run) = &mut self.publishers[at].run {
                run.at_the_end()?;
                run.farewell(now, &mut self.out);
                self.post(from)?;
            }
        }
        Ok(())
    }

    /// After the network has healed, whatever its publisher still has is repaired.
    pub(super) fn what_could_be_repaired_was(&self, at: usize) -> Checked {
        let Some(run) = &self.subscribers[at].run else { return Ok(()) };
        if self.plan.wild || self.now_ns < self.healed_ns {
            return Ok(());
        }
        for (record, from, to) in run.gaps.iter().copied() {
            for seq in from..=to {
                let repairable = self.is_repairable(at, run, record, seq);
                ensure(!repairable, "what_could_be_repaired_was", || {
                    format!("sequence {seq} is told as lost by subscriber {at}, and its publisher has it")
                })?;
            }
        }
        Ok(())
    }

    fn is_repairable(&self, at: usize, run: &Subscriber, record: usize, seq: u64) -> bool {
        let publishers = self.publishers.iter().enumerate();
        let mut theirs = publishers.filter_map(|(p, place)| Some((p, place.run.as_ref()?)));
        let Some((p, publisher)) = theirs.find(|(_, publisher)| publisher.record == record) else {
            return false;
        };
        let id = self.records.all[record].id;
        let (Some(answers), Some(ledger)) = (&publisher.answers, run.ledgers.of(id)) else { return false };
        let noticed_ns = ledger.noticed_ns(seq);
        let address = self.address(Node::Subscriber(at));
        let plan = &self.plan.subscribers[at];
        // It was noticed after all was well, and there was time to ask before the window moved on.
        let in_time =
            noticed_ns >= self.healed_ns && ledger.known - seq < run.ledgers.span && self.is_patient(p, plan);
        let keeps = plan.order == Order::AtOnce && self.is_whole(record, seq) || has_memory(plan);
        let answered = answers.peer_since_ns(address).is_some_and(|since_ns| since_ns <= noticed_ns)
            && answers.cut_short_ns(address).is_none_or(|cut_short_ns| cut_short_ns < noticed_ns);
        plan.asks && run.ledgers.is_current(id) && in_time && keeps && answered && publisher.stores(seq)
    }

    /// Whether it holds back for long enough to hear an answer. How late later copies are it may have learned
    /// from a network that was worse.
    fn is_patient(&self, publisher: usize, plan: &SubscriberPlan) -> bool {
        match plan.order {
            Order::AtOnce => true,
            Order::Ordered { max_hold_ns } => {
                max_hold_ns >= 50 * MS && self.plan.publishers[publisher].copies == 1
            }
        }
    }

    fn is_whole(&self, record: usize, seq: u64) -> bool {
        self.records.all[record].published(seq).is_some_and(|published| published.count == 1)
    }

    pub(super) fn over(&mut self) -> Checked {
        self.measure_misses();
        for at in 0..self.subscribers.len() {
            if !self.plan.wild {
                self.last_words_have_arrived(at)?;
            }
            let now = self.now_of(Node::Subscriber(at));
            let Some(run) = &mut self.subscribers[at].run else { continue };
            if !self.plan.wild {
                run.at_the_end(self.now_ns - PATIENCE_NS)?;
            }
            run.finish(now, &self.records, self.story)?;
            self.totals.add(run);
        }
        Ok(())
    }

    /// Everything that was sent in the end has arrived, and the farewell with it.
    fn last_words_have_arrived(&self, at: usize) -> Checked {
        let place = &self.subscribers[at];
        let Some(run) = place.run.as_ref().filter(|_| place.listed) else { return Ok(()) };
        let streams = &self.plan.subscribers[at].streams;
        for (record, seq) in self.last_words.iter().copied() {
            let id = self.records.all[record].id;
            if !streams.is_empty() && !streams.contains(&id.stream) {
                continue;
            }
            let delivered = run.ledgers.of(id).is_some_and(|ledger| ledger.has_delivered(seq));
            ensure(delivered, "last_words_have_arrived", || {
                format!("message {seq} of {id:?} has not reached subscriber {at}")
            })?;
            ensure(run.ledgers.ended.contains(&id), "the_end_is_told", || {
                format!("subscriber {at} has not heard that {id:?} stops")
            })?;
        }
        Ok(())
    }
}

fn has_memory(plan: &SubscriberPlan) -> bool {
    const MUCH: usize = 500_000;
    plan.limits.memory >= MUCH && plan.limits.memory_each >= MUCH && plan.limits.message_max >= 4_000
}

impl Totals {
    /// Adds what a run of a subscriber has seen.
    pub(super) fn add(&mut self, run: &Subscriber) {
        self.deliveries += run.ledgers.all().iter().map(|ledger| ledger.delivered).sum::<u64>();
        self.lost += run.ledgers.all().iter().map(|ledger| ledger.lost).sum::<u64>();
    }
}
