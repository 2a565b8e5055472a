//! The single steps of a message's way, each alone and warm: what they cost next to the system call.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use headcast_peers::handoff::handoff;
use headcast_proto::header::{HEADER_LEN, Header};
use headcast_proto::receiver::Limits;
use headcast_proto::schedule::Lagging;
use headcast_proto::{Datagram, Next, Now, Receiver, Schedule, Sequencer, Session, Verdict, Window};

const PAYLOAD: usize = 128;
const WINDOW: usize = 8192;
/// Some time in 2026; the receiver wants sessions to be plausible.
const NOW: Now = Now { mono_ns: 1_000_000_000, unix_ns: 1_790_000_000_000_000_000 };

/// A datagram as it comes from the wire.
fn sealed() -> Vec<u8> {
    let mut datagram = vec![0x5a; HEADER_LEN + PAYLOAD];
    sequencer().seal(&mut datagram, NOW);
    datagram
}

fn sequencer() -> Sequencer {
    Sequencer::new(7, Session::new(NOW.unix_ns / 1_000_000, 1), 0)
}

/// Gives a sealed datagram another sequence.
fn renumber(datagram: &mut [u8], seq: u64) {
    let at = std::mem::offset_of!(Header, seq);
    datagram[at..at + 8].copy_from_slice(&seq.to_le_bytes());
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("datagram");
    group.throughput(Throughput::Bytes((HEADER_LEN + PAYLOAD) as u64));
    group.bench_function("seal", |b| {
        let mut sequencer = sequencer();
        let mut datagram = vec![0x5a; HEADER_LEN + PAYLOAD];
        b.iter(|| sequencer.seal(black_box(&mut datagram), black_box(NOW)));
    });
    group.bench_function("parse", |b| {
        let datagram = sealed();
        b.iter(|| Datagram::parse(black_box(&datagram)).map(|datagram| datagram.seq()));
    });
    group.finish();
}

fn window(c: &mut Criterion) {
    let mut group = c.benchmark_group("window");
    group.throughput(Throughput::Elements(1));
    group.bench_function("in order", |b| {
        let (mut window, mut seq) = (Window::new(WINDOW), 0);
        b.iter(|| {
            seq += 1;
            window.observe(black_box(seq))
        });
    });
    group.bench_function("duplicate", |b| {
        let mut window = Window::new(WINDOW);
        for seq in 1..=1000 {
            window.observe(seq);
        }
        let mut seq = 0;
        b.iter(|| {
            seq = seq % 1000 + 1;
            window.observe(black_box(seq))
        });
    });
    group.bench_function("reordered by up to 31", |b| {
        let (mut window, mut turn) = (Window::new(WINDOW), 0u64);
        b.iter(|| {
            turn += 1;
            // Every sequence once, each run of 32 from its end to its start.
            window.observe(black_box((turn ^ 31) + 1))
        });
    });
    group.finish();
}

fn receiver(c: &mut Criterion) {
    let mut group = c.benchmark_group("receiver");
    group.throughput(Throughput::Elements(1));
    for publishers in [1u32, 256] {
        group.bench_function(format!("parse and accept, {publishers} publishers"), |b| {
            let mut receiver = Receiver::new(&Limits::default(), &[]);
            let mut datagram = sealed();
            let (mut seq, mut publisher) = (1, 0);
            b.iter(|| {
                publisher += 1;
                if publisher == publishers {
                    (seq, publisher) = (seq + 1, 0);
                }
                renumber(&mut datagram, seq);
                let at = std::mem::offset_of!(Header, publisher);
                datagram[at..at + 4].copy_from_slice(&publisher.to_le_bytes());
                let verdict = Datagram::parse(black_box(&datagram)).map(|it| receiver.accept(NOW, &it));
                debug_assert!(matches!(verdict, Ok(Verdict::Deliver { .. })));
                verdict
            });
        });
    }
    group.bench_function("parse and accept, every message twice", |b| {
        let mut receiver = Receiver::new(&Limits::default(), &[]);
        let (mut datagram, mut turn) = (sealed(), 1);
        b.iter(|| {
            turn += 1;
            renumber(&mut datagram, turn / 2);
            Datagram::parse(black_box(&datagram)).map(|datagram| receiver.accept(NOW, &datagram))
        });
    });
    group.finish();
}

fn handoffs(c: &mut Criterion) {
    let mut group = c.benchmark_group("handoff");
    group.bench_function("look, nothing offered", |b| {
        let (_offer, intake) = handoff::<u64>();
        b.iter(|| black_box(&intake).pending());
    });
    group.bench_function("offer, swap, collect", |b| {
        let (mut offer, mut intake) = handoff();
        let mut current = Box::new(0u64);
        b.iter(|| {
            // With the allocation and the freeing of the box, which are the control thread's.
            offer.offer(Box::new(black_box(1)));
            let swapped = intake.swap(&mut current);
            (swapped, offer.collect())
        });
    });
    group.finish();
}

fn schedule(c: &mut Criterion) {
    let mut group = c.benchmark_group("schedule");
    group.throughput(Throughput::Elements(1));
    for copies in [1, 2] {
        group.bench_function(format!("push, next, sent; copies: {copies}"), |b| {
            let mut schedule = Schedule::new(WINDOW, copies, 1_000, Lagging::Send);
            let mut now_ns = 0;
            b.iter(|| {
                now_ns += 100;
                schedule.push();
                while let Next::Send { seq, copy } = schedule.next(black_box(now_ns)) {
                    schedule.sent(seq, copy, now_ns);
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = micro;
    // Steps of nanoseconds: a second is a hundred million of them.
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    targets = codec, window, receiver, handoffs, schedule
}
criterion_main!(micro);
