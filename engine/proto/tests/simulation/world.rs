//! One world: its nodes, the network between them, and virtual time.

mod agenda;
mod faults;
mod floods;
mod healing;
mod measuring;
mod nodes;

use std::rc::Rc;

use headcast_proto::{Datagram, Now};

use crate::checks::{Checked, Violation, ensure};
use crate::mail::{Address, Mail, Purpose};
use crate::network::{Conditions, Link};
use crate::plan::{Node, Plan, SECOND};
use crate::records::Records;
use crate::rng::Rng;
use crate::story::Story;
use agenda::{Agenda, Flight, Happening, Phase};
use nodes::{PublisherNode, SubscriberNode};

/// When a world begins: on its monotonic clock, and on the wall.
const MONO_NS: u64 = 5 * SECOND;
const UNIX_NS: u64 = 1_790_000_000 * SECOND;
/// A world that does not end by then never will.
const STEPS_MAX: u64 = 5_000_000;

/// What happened in a world, in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) messages: u64,
    pub(crate) deliveries: u64,
    pub(crate) datagrams: u64,
    /// Sequences told as lost.
    pub(crate) lost: u64,
    pub(crate) repairs: u64,
    pub(crate) requests: u64,
    /// In the worlds of the table: messages, how many of them were not delivered, the bytes of their first
    /// copies, and those of their other copies, their repairs and the requests.
    pub(crate) measured: u64,
    pub(crate) missed: u64,
    pub(crate) first_bytes: u64,
    pub(crate) other_bytes: u64,
}

pub(crate) struct World {
    plan: Plan,
    now_ns: u64,
    rng: Rng,
    agenda: Agenda,
    publishers: Vec<PublisherNode>,
    subscribers: Vec<SubscriberNode>,
    /// As in the plan.
    links: Vec<[Link; 2]>,
    records: Records,
    phase: Phase,
    story: Story,
    out: Vec<Mail>,
    totals: Totals,
    /// What was published after the network had healed and everybody had heard of everybody again.
    last_words: Vec<(usize, u64)>,
    healed_ns: u64,
    /// The sequences that are measured, in the worlds of the table.
    measured: std::ops::Range<u64>,
}

impl World {
    pub(crate) fn new(plan: Plan, told: bool) -> Self {
        let mut rng = Rng::new(plan.seed ^ 0x0057_6f72_6c64);
        let link = |conditions: &Conditions, rng: &mut Rng| {
            let at_first =
                if plan.warm_ns > 0 { Conditions::perfect(conditions.delay_ns) } else { *conditions };
            Link::new(at_first, rng.fork())
        };
        let links =
            plan.paths.iter().map(|[there, back]| [link(there, &mut rng), link(back, &mut rng)]).collect();
        Self {
            now_ns: MONO_NS,
            agenda: Agenda::default(),
            publishers: plan.publishers.iter().map(PublisherNode::new).collect(),
            subscribers: plan.subscribers.iter().map(SubscriberNode::new).collect(),
            links,
            records: Records::default(),
            phase: Phase::Active,
            story: Story { told, now_ns: 0 },
            out: Vec::new(),
            totals: Totals::default(),
            last_words: Vec::new(),
            healed_ns: u64::MAX,
            measured: 0..0,
            rng,
            plan,
        }
    }

    /// Lets everything happen.
    pub(crate) fn run(mut self) -> Result<Totals, Violation> {
        self.begin();
        let mut steps = 0;
        while let Some((at_ns, happening)) = self.agenda.next() {
            self.now_ns = at_ns;
            self.story.now_ns = at_ns - MONO_NS;
            steps += 1;
            ensure(steps < STEPS_MAX, "a_world_ends", || format!("{steps} steps"))?;
            if matches!(happening, Happening::Phase(Phase::Over)) {
                self.over()?;
                break;
            }
            self.step(happening)?;
        }
        Ok(self.totals)
    }

    fn begin(&mut self) {
        for (at_ns, fault) in std::mem::take(&mut self.plan.faults) {
            self.agenda.at(MONO_NS + at_ns, Happening::Fault(fault));
        }
        for at in 0..self.plan.subscribers.len() {
            let joins_ns = self.plan.subscribers[at].joins_ns;
            self.agenda.at(MONO_NS + joins_ns, Happening::Start(Node::Subscriber(at)));
        }
        for at in 0..self.plan.publishers.len() {
            self.agenda.at(MONO_NS, Happening::Start(Node::Publisher(at)));
        }
        if self.plan.warm_ns > 0 {
            self.agenda.at(MONO_NS + self.plan.warm_ns, Happening::Phase(Phase::Warm));
        }
        let end_ns = MONO_NS + self.plan.active_ns;
        self.agenda.at(end_ns, Happening::Phase(Phase::Draining));
        self.agenda.at(end_ns + self.plan.drain_ns, Happening::Phase(Phase::Healed));
    }

    fn step(&mut self, happening: Happening) -> Checked {
        if let Happening::Wake(node) = happening
            && *self.wake_ns(node) != self.now_ns
        {
            // It is to wake at another time by now.
            return Ok(());
        }
        if let Some((node, until_ns)) = self.paused(&happening) {
            if matches!(happening, Happening::Wake(_)) {
                *self.wake_ns(node) = until_ns;
            }
            self.agenda.at(until_ns, happening);
            return Ok(());
        }
        match happening {
            Happening::Arrive(flight) => self.arrive(flight),
            Happening::Publish { publisher, run } => self.publish_next(publisher, run),
            Happening::Wake(Node::Publisher(at)) => self.publisher_turn(at),
            Happening::Wake(Node::Subscriber(at)) => self.subscriber_tick(at),
            Happening::Wake(Node::Stranger) => Ok(()),
            Happening::Start(node) => self.start(node),
            Happening::Lookup { publisher } => self.lookup(publisher),
            Happening::Fault(fault) => self.fault(fault),
            Happening::Phase(phase) => self.enter(phase),
        }
    }

    /// The node that something happens to, if it is paused, and until when.
    fn paused(&self, happening: &Happening) -> Option<(Node, u64)> {
        let node = match happening {
            Happening::Arrive(flight) => flight.to.node,
            Happening::Publish { publisher, .. } | Happening::Lookup { publisher } => {
                Node::Publisher(*publisher)
            }
            Happening::Wake(node) => *node,
            _ => return None,
        };
        let until_ns = match node {
            Node::Publisher(at) => self.publishers[at].paused_until_ns,
            Node::Subscriber(at) => self.subscribers[at].paused_until_ns,
            Node::Stranger => 0,
        };
        (until_ns > self.now_ns).then_some((node, until_ns))
    }

    /// The time as a node has it.
    fn now_of(&self, node: Node) -> Now {
        let clock_ms = match node {
            Node::Publisher(at) => self.publishers[at].clock_ms,
            Node::Subscriber(at) => self.subscribers[at].clock_ms,
            Node::Stranger => 0,
        };
        let unix_ns = (UNIX_NS + self.now_ns).saturating_add_signed(clock_ms * 1_000_000);
        Now { mono_ns: self.now_ns, unix_ns }
    }

    fn arrive(&mut self, flight: Flight) -> Checked {
        if let Some((path, way)) = flight.link {
            let link = &mut self.links[path][way];
            link.arrived();
            link.counts().datagrams_add_up()?;
        }
        let Flight { to, from, bytes, .. } = flight;
        match to.node {
            Node::Subscriber(at) => self.subscriber_accept(at, to, from, &bytes),
            Node::Publisher(at) => self.publisher_receive(at, to, from, &bytes),
            Node::Stranger => Ok(()),
        }
    }

    /// Puts on the network what a node has sent.
    fn post(&mut self, from: Address) -> Checked {
        let mut out = std::mem::take(&mut self.out);
        for mail in out.drain(..) {
            self.count(&mail);
            let (path, way) = match (from.node, mail.to.node) {
                (Node::Publisher(p), Node::Subscriber(s)) => {
                    if let Some(run) = &self.publishers[p].run {
                        run.may_send_to(mail.to)?;
                    }
                    (p * self.subscribers.len() + s, 0)
                }
                (Node::Subscriber(s), Node::Publisher(p)) => (p * self.subscribers.len() + s, 1),
                _ => continue,
            };
            let link = &mut self.links[path][way];
            let passages = link.send(self.now_ns);
            link.counts().datagrams_add_up()?;
            for passage in passages.into_iter().flatten() {
                let bytes = if passage.mangled { self.mangle(&mail.bytes) } else { Rc::clone(&mail.bytes) };
                let flight = Flight { to: mail.to, from, bytes, link: Some((path, way)) };
                self.agenda.at(passage.at_ns, Happening::Arrive(flight));
            }
        }
        self.out = out;
        Ok(())
    }

    fn count(&mut self, mail: &Mail) {
        let totals = &mut self.totals;
        totals.datagrams += 1;
        totals.repairs += u64::from(mail.purpose == Purpose::Repair);
        totals.requests += u64::from(mail.purpose == Purpose::Request);
        self.measure_bytes(mail);
    }

    /// Flips bits. If what comes out is still valid it would be a forgery: only wild worlds have that.
    fn mangle(&mut self, bytes: &[u8]) -> Rc<[u8]> {
        let mut mangled: Vec<u8> = bytes.to_vec();
        for _ in 0..self.rng.between(1, 8) {
            let at = self.rng.below(mangled.len() as u64) as usize;
            mangled[at] ^= 1 << self.rng.below(8);
        }
        if !self.plan.wild && Datagram::parse(&mangled).is_ok() {
            mangled[0] = 0xff;
        }
        mangled.into()
    }
}
