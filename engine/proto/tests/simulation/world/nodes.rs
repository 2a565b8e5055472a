//! The nodes of a world, and what they do when their time has come.

use super::World;
use super::agenda::{Happening, Phase};
use crate::checks::{Checked, ensure};
use crate::mail::Address;
use crate::plan::{Node, Pace, PublisherPlan, SubscriberPlan};
use crate::publisher::Publisher;
use crate::subscriber::Subscriber;

/// The most messages that go out in one datagram.
const SHARED_MAX: u64 = 12;

/// A place where a publisher runs.
#[derive(Debug)]
pub(super) struct PublisherNode {
    pub(super) host: u16,
    pub(super) run: Option<Publisher>,
    /// How many have been started.
    pub(super) runs: u64,
    pub(super) clock_ms: i64,
    pub(super) paused_until_ns: u64,
    /// It is to wake then.
    wake_ns: u64,
    messages: u64,
}

/// A place where a subscriber runs.
#[derive(Debug)]
pub(super) struct SubscriberNode {
    pub(super) host: u16,
    pub(super) run: Option<Subscriber>,
    /// Whether a lookup finds it.
    pub(super) listed: bool,
    pub(super) left: bool,
    pub(super) clock_ms: i64,
    pub(super) paused_until_ns: u64,
    wake_ns: u64,
}

impl PublisherNode {
    pub(super) fn new(plan: &PublisherPlan) -> Self {
        Self {
            host: 0,
            run: None,
            runs: 0,
            clock_ms: plan.clock_ms,
            paused_until_ns: 0,
            wake_ns: u64::MAX,
            messages: 0,
        }
    }
}

impl SubscriberNode {
    pub(super) fn new(plan: &SubscriberPlan) -> Self {
        Self {
            host: 0,
            run: None,
            listed: false,
            left: false,
            clock_ms: plan.clock_ms,
            paused_until_ns: 0,
            wake_ns: u64::MAX,
        }
    }
}

impl World {
    pub(super) fn address(&self, node: Node) -> Address {
        let host = match node {
            Node::Publisher(at) => self.publishers[at].host,
            Node::Subscriber(at) => self.subscribers[at].host,
            Node::Stranger => 0,
        };
        Address { node, host }
    }

    /// When a node is to wake.
    pub(super) fn wake_ns(&mut self, node: Node) -> &mut u64 {
        match node {
            Node::Publisher(at) => &mut self.publishers[at].wake_ns,
            Node::Subscriber(at) => &mut self.subscribers[at].wake_ns,
            Node::Stranger => &mut self.now_ns,
        }
    }

    /// A node begins to run, with nothing but its plan.
    pub(super) fn start(&mut self, node: Node) -> Checked {
        let (now, random) = (self.now_of(node), self.rng.bits() as u32);
        match node {
            Node::Publisher(at) if self.publishers[at].run.is_none() => {
                let run = Publisher::start(&self.plan.publishers[at], now, random, &mut self.records);
                self.story.tell(|| format!("publisher {at} starts session {}", run.session()));
                let place = &mut self.publishers[at];
                place.run = Some(run);
                place.runs += 1;
                place.wake_ns = u64::MAX;
                self.lookup(at)?;
                self.plan_next(at, 0);
            }
            Node::Subscriber(at) if self.subscribers[at].run.is_none() && !self.subscribers[at].left => {
                self.story.tell(|| format!("subscriber {at} starts"));
                let run = Subscriber::start(&self.plan.subscribers[at], self.plan.wild, now, random);
                let place = &mut self.subscribers[at];
                place.run = Some(run);
                place.listed = true;
                place.wake_ns = u64::MAX;
                self.membership_changes();
            }
            _ => {}
        }
        Ok(())
    }

    /// Publishers will learn of it, each in its time.
    pub(super) fn membership_changes(&mut self) {
        for publisher in 0..self.publishers.len() {
            let lookup_ns = self.plan.publishers[publisher].lookup_ns;
            // At the very beginning everybody is there before the first message.
            let lookup_ns = if self.now_ns == super::MONO_NS { 0 } else { lookup_ns };
            self.agenda.at(self.now_ns + lookup_ns, Happening::Lookup { publisher });
        }
    }

    pub(super) fn lookup(&mut self, publisher: usize) -> Checked {
        let listed = (0..self.subscribers.len()).filter(|at| self.subscribers[*at].listed);
        let peers: Vec<Address> = listed.map(|at| self.address(Node::Subscriber(at))).collect();
        let now = self.now_of(Node::Publisher(publisher));
        match &mut self.publishers[publisher].run {
            Some(run) => run.adopt(&peers, now)?,
            None => return Ok(()),
        }
        self.publisher_turn(publisher)
    }

    /// An application publishes a message, and the next one after a while.
    pub(super) fn publish_next(&mut self, at: usize, run: u64) -> Checked {
        let place = &mut self.publishers[at];
        let plan = &self.plan.publishers[at];
        if place.runs != run || self.phase > Phase::Warm || place.messages >= plan.messages_max {
            return Ok(());
        }
        let mut many = 1;
        let next_ns = match plan.pace {
            Pace::Even(each_ns) => each_ns,
            Pace::Uneven { mean_ns, burst, pause, pause_ns } => {
                if self.rng.chance(burst) {
                    many = self.rng.between(2, 40);
                }
                if self.rng.chance(pause) {
                    pause_ns
                } else {
                    (-(1.0 - self.rng.unit()).ln() * mean_ns as f64) as u64
                }
            }
        };
        for _ in 0..many {
            self.publish(at)?;
        }
        self.plan_next(at, next_ns);
        self.publisher_turn(at)
    }

    fn plan_next(&mut self, at: usize, after_ns: u64) {
        let next = Happening::Publish { publisher: at, run: self.publishers[at].runs };
        self.agenda.at(self.now_ns + after_ns, next);
    }

    /// Hands one message to a publisher, of one part or several.
    fn publish(&mut self, at: usize) -> Checked {
        let plan = &self.plan.publishers[at];
        if plan.packed > 0.0 && self.rng.chance(plan.packed) {
            let shared = self.rng.between(1, SHARED_MAX) as u16;
            return self.publish_shared(at, shared);
        }
        let parts = if plan.long > 0.0 && self.rng.chance(plan.long) {
            self.rng.between(2, plan.parts_max.into()) as u16
        } else {
            1
        };
        self.publish_parts(at, parts).map(drop)
    }

    /// Hands several messages to a publisher, which had waited together.
    fn publish_shared(&mut self, at: usize, shared: u16) -> Checked {
        let now = self.now_of(Node::Publisher(at));
        let place = &mut self.publishers[at];
        let Some(run) = &mut place.run else { return Ok(()) };
        let seq = run.publish_shared(shared, now, &mut self.records)?;
        self.story.tell(|| format!("publisher {at} publishes {shared} messages in {seq:?}"));
        if seq.is_some() {
            place.messages += 1;
            self.totals.messages += u64::from(shared);
        }
        Ok(())
    }

    /// Hands one message to a publisher; returns its first sequence, if it was taken.
    pub(super) fn publish_parts(&mut self, at: usize, parts: u16) -> Checked<Option<u64>> {
        let now = self.now_of(Node::Publisher(at));
        let place = &mut self.publishers[at];
        let Some(run) = &mut place.run else { return Ok(None) };
        let seq = run.publish(parts, now, &mut self.records)?;
        self.story.tell(|| format!("publisher {at} publishes {seq:?} in {parts} parts"));
        place.messages += u64::from(seq.is_some());
        self.totals.messages += u64::from(seq.is_some());
        Ok(seq)
    }

    /// A publisher sends what is due.
    pub(super) fn publisher_turn(&mut self, at: usize) -> Checked {
        let node = Node::Publisher(at);
        let now = self.now_of(node);
        if self.publishers[at].paused_until_ns > self.now_ns {
            return Ok(());
        }
        let Some(run) = &mut self.publishers[at].run else { return Ok(()) };
        let next_ns = run.turn(now, &mut self.out)?;
        ensure(next_ns > self.now_ns, "a_publisher_comes_to_rest", || format!("{next_ns}"))?;
        let place = &mut self.publishers[at];
        if next_ns < place.wake_ns || place.wake_ns <= self.now_ns {
            place.wake_ns = next_ns;
            if next_ns != u64::MAX {
                self.agenda.at(next_ns, Happening::Wake(node));
            }
        }
        let from = self.address(node);
        self.post(from)
    }

    /// Something has come to the socket that a publisher sends from.
    pub(super) fn publisher_receive(
        &mut self,
        at: usize,
        to: Address,
        from: Address,
        bytes: &[u8],
    ) -> Checked {
        let now = self.now_of(Node::Publisher(at));
        if to.host != self.publishers[at].host {
            return Ok(());
        }
        let Some(run) = &mut self.publishers[at].run else { return Ok(()) };
        run.receive(from, bytes, now)?;
        self.publisher_turn(at)
    }

    /// A datagram has come to a subscriber.
    pub(super) fn subscriber_accept(
        &mut self,
        at: usize,
        to: Address,
        from: Address,
        bytes: &[u8],
    ) -> Checked {
        let now = self.now_of(Node::Subscriber(at));
        if to.host != self.subscribers[at].host {
            return Ok(());
        }
        let Some(run) = &mut self.subscribers[at].run else { return Ok(()) };
        self.story.tell(|| format!("subscriber {at} receives from {:?}", from.node));
        run.accept(now, from, bytes, &self.records, self.story, &mut self.out)?;
        self.after_subscriber(at)
    }

    /// A subscriber does what is due.
    pub(super) fn subscriber_tick(&mut self, at: usize) -> Checked {
        let now = self.now_of(Node::Subscriber(at));
        self.subscribers[at].wake_ns = u64::MAX;
        let Some(run) = &mut self.subscribers[at].run else { return Ok(()) };
        if run.deadline_ns() <= self.now_ns {
            self.story.tell(|| format!("subscriber {at} ticks"));
            run.tick(now, &self.records, self.story, &mut self.out)?;
        }
        self.after_subscriber(at)
    }

    fn after_subscriber(&mut self, at: usize) -> Checked {
        self.what_could_be_repaired_was(at)?;
        let place = &mut self.subscribers[at];
        let Some(run) = &place.run else { return Ok(()) };
        // A deadline that has passed is met in the next step, as an event loop does.
        let deadline_ns = run.deadline_ns().max(self.now_ns);
        if deadline_ns < place.wake_ns {
            place.wake_ns = deadline_ns;
            self.agenda.at(deadline_ns, Happening::Wake(Node::Subscriber(at)));
        }
        let from = self.address(Node::Subscriber(at));
        self.post(from)
    }
}
