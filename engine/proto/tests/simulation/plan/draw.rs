//! A world from a seed.

use headcast_proto::Order;
use headcast_proto::receiver::Limits;
use headcast_proto::repair::Policy;

use super::{Fault, Flood, MS, Node, Pace, Plan, PublisherPlan, SECOND, SubscriberPlan, US};
use crate::network::Conditions;
use crate::network::loss::Loss;
use crate::records::Shape;
use crate::rng::Rng;

/// How many datagrams a world's publishers send, roughly, with all copies to all subscribers.
const DATAGRAMS: u64 = 16_000;
const MESSAGES_MAX: u64 = 3_000;

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let wild = rng.chance(0.1);
        let calm = rng.chance(0.2);
        let active_ns = rng.magnitude(50 * MS, 4 * SECOND);
        let (publishers, subscribers) = (rng.pick(&[1, 1, 1, 2, 3]), rng.pick(&[1, 1, 2, 3, 4]));
        let mut plan = Self {
            seed,
            wild,
            publishers: (0..publishers).map(|p| publisher(rng, p, active_ns)).collect(),
            subscribers: (0..subscribers).map(|s| subscriber(rng, s, active_ns)).collect(),
            paths: (0..publishers * subscribers).map(|_| path(rng)).collect(),
            faults: Vec::new(),
            warm_ns: 0,
            active_ns,
            drain_ns: rng.below(100 * MS),
            idle_ns: rng.between(4 * SECOND, 5 * SECOND),
        };
        for publisher in &mut plan.publishers {
            let copies = publisher.copies as u64;
            let share = DATAGRAMS / (copies * (publishers * subscribers) as u64);
            publisher.messages_max = share.min(MESSAGES_MAX);
        }
        if !calm || wild {
            faults(rng, &mut plan);
        }
        plan
    }
}

fn publisher(rng: &mut Rng, at: usize, active_ns: u64) -> PublisherPlan {
    let policy = Policy {
        share_permille: rng.pick(&[100, 100, 500, 10]),
        burst: rng.pick(&[64_000, 64_000, 2_000]),
        welcome: rng.pick(&[0, 10_000, 100_000]),
        interval_ns: rng.pick(&[MS / 2, MS, 5 * MS]),
    };
    let mean_ns = rng.magnitude(active_ns / MESSAGES_MAX, active_ns / 10);
    let pace = if rng.chance(0.3) {
        Pace::Even(mean_ns)
    } else {
        Pace::Uneven {
            mean_ns,
            burst: rng.pick(&[0.0, 0.05, 0.2]),
            pause: rng.pick(&[0.0, 0.003]),
            pause_ns: rng.magnitude(10 * MS, 5 * SECOND),
        }
    };
    PublisherPlan {
        id: at as u32 + 1,
        stream: rng.pick(&[0, 0, 0, 7]),
        copies: rng.pick(&[1, 1, 2, 2, 2, 3, 4]),
        spacing_ns: rng.magnitude(100 * US, 10 * MS),
        repairs: rng.chance(0.7).then_some(policy),
        send_ns: rng.pick(&[0, 0, US, 20 * US]),
        train_max: rng.pick(&[1, 2, 7, 128]),
        slots: rng.pick(&[16, 64, 256, 1024, 8192]),
        drop_oldest: rng.chance(0.5),
        pace,
        long: rng.pick(&[0.0, 0.0, 0.1, 0.5]),
        parts_max: rng.pick(&[2, 6, 12, 12]),
        packed: rng.pick(&[0.0, 0.0, 0.2, 0.9]),
        shape: Shape { part: 40, full: false },
        lookup_ns: rng.below(50 * MS),
        clock_ms: clock_ms(rng),
        messages_max: 0,
    }
}

fn subscriber(rng: &mut Rng, at: usize, active_ns: u64) -> SubscriberPlan {
    /// What a datagram takes, however short.
    const BLOCK: usize = 1408;
    let limits = Limits {
        publishers: rng.pick(&[4, 8, 16]),
        window: rng.pick(&[128, 256, 1024, 1024, 8192]),
        memory: BLOCK * rng.pick(&[8, 64, 400, 400]),
        memory_each: BLOCK * rng.pick(&[4, 32, 400, 400]),
        message_max: rng.pick(&[400, 4_000, 65_000]),
    };
    let max_hold_ns = rng.magnitude(MS / 2, 100 * MS);
    SubscriberPlan {
        id: 1_000 + at as u32,
        limits,
        streams: rng.pick(&[&[][..], &[], &[0, 7], &[0]]).to_vec(),
        order: if rng.chance(0.5) { Order::AtOnce } else { Order::Ordered { max_hold_ns } },
        asks: rng.chance(0.7),
        history: if rng.chance(0.25) { rng.pick(&[1, 20, 200, 5_000]) } else { 0 },
        since: rng.chance(0.7),
        joins_ns: if rng.chance(0.3) { rng.below(active_ns) } else { 0 },
        clock_ms: clock_ms(rng),
    }
}

/// Clocks agree within a second, mostly.
fn clock_ms(rng: &mut Rng) -> i64 {
    let reach = rng.pick(&[0, 0, 5, 1_000, 40_000]);
    rng.around(reach)
}

fn path(rng: &mut Rng) -> [Conditions; 2] {
    let there = conditions(rng);
    let back = if rng.chance(0.5) { there } else { conditions(rng) };
    [there, back]
}

fn conditions(rng: &mut Rng) -> Conditions {
    let mean = rng.magnitude(100, 200_000) as f64 / 1e6;
    let loss = match rng.below(5) {
        0 => Loss::None,
        1 | 2 => Loss::Independent { mean },
        _ => Loss::Bursts { mean, slots: rng.between(2, 20) as f64, slot_ns: rng.magnitude(10 * US, MS) },
    };
    let delay_ns = rng.magnitude(20 * US, 10 * MS);
    Conditions {
        loss,
        delay_ns,
        jitter_ns: if rng.chance(0.5) { rng.magnitude(US, 2 * delay_ns) } else { 0 },
        stragglers: rng.pick(&[0.0, 0.01]),
        duplicated: rng.pick(&[0.0, 0.0, 0.01, 0.2]),
        corrupted: rng.pick(&[0.0, 0.0, 0.0, 0.01]),
    }
}

/// What goes wrong: each world has some of the kinds, each kind a few times.
fn faults(rng: &mut Rng, plan: &mut Plan) {
    let (publishers, subscribers) = (plan.publishers.len() as u64, plan.subscribers.len() as u64);
    let publisher = |rng: &mut Rng| Node::Publisher(rng.below(publishers) as usize);
    let subscriber = |rng: &mut Rng| Node::Subscriber(rng.below(subscribers) as usize);
    let any = |rng: &mut Rng| if rng.chance(0.5) { publisher(rng) } else { subscriber(rng) };
    let length_ns = |rng: &mut Rng| rng.magnitude(MS, 500 * MS);
    let active_ns = plan.active_ns;
    let faults = &mut plan.faults;
    let mut some = |rng: &mut Rng, chance: f64, most: u64, fault: &dyn Fn(&mut Rng) -> Fault| {
        if rng.chance(chance) {
            for _ in 0..rng.between(1, most) {
                faults.push((rng.below(active_ns), fault(rng)));
            }
        }
    };
    some(rng, 0.35, 4, &|rng| {
        let (there, back) = rng.pick(&[(true, true), (true, false), (false, true)]);
        let path = rng.below(publishers * subscribers) as usize;
        let for_ns = if rng.chance(0.1) { rng.magnitude(SECOND, 8 * SECOND) } else { length_ns(rng) };
        Fault::Cut { path, there, back, for_ns }
    });
    some(rng, 0.2, 3, &|rng| {
        let reach = rng.pick(&[10, 2_000, 60_000]);
        Fault::StepClock { node: any(rng), by_ms: rng.around(reach) }
    });
    some(rng, 0.25, 2, &|rng| {
        let (farewell, moves) = (rng.chance(0.5), rng.chance(0.5));
        Fault::Restart { node: publisher(rng), farewell, down_ns: length_ns(rng), moves }
    });
    some(rng, 0.2, 2, &|rng| {
        let moves = rng.chance(0.5);
        Fault::Restart { node: subscriber(rng), farewell: false, down_ns: length_ns(rng), moves }
    });
    some(rng, 0.15, 1, &|rng| Fault::Leave {
        subscriber: rng.below(subscribers) as usize,
        told_first: rng.chance(0.5),
    });
    some(rng, 0.2, 3, &|rng| Fault::Pause { node: any(rng), for_ns: length_ns(rng) });
    let flood = |node, kind, count| Fault::Flood { node, kind, count };
    some(rng, 0.1, 3, &|rng| flood(any(rng), Flood::Noise, 50));
    some(rng, 0.08, 2, &|rng| flood(subscriber(rng), Flood::Publishers, rng.between(1, 40)));
    some(rng, 0.08, 2, &|rng| flood(subscriber(rng), Flood::Sessions, rng.between(1, 5)));
    some(rng, 0.1, 4, &|rng| flood(subscriber(rng), Flood::Jump, rng.between(1, 5)));
    some(rng, 0.1, 3, &|rng| flood(publisher(rng), Flood::Requests, rng.between(1, 100)));
    if plan.wild {
        for _ in 0..rng.between(5, 40) {
            let fault = flood(any(rng), Flood::Anything, rng.between(1, 60));
            plan.faults.push((rng.below(active_ns), fault));
        }
    }
    let forges = |fault: &(u64, Fault)| {
        matches!(fault.1, Fault::Flood { kind: Flood::Publishers | Flood::Sessions | Flood::Anything, .. })
    };
    if plan.faults.iter().any(forges) {
        // A forged publisher may keep its place in the table for half a minute.
        plan.idle_ns += 31 * SECOND;
    }
}
