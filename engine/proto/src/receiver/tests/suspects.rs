use super::source::*;
use super::*;

fn ordered(l: Limits) -> Receiver {
    Receiver::new(&l, &[]).order(Order::Ordered { max_hold_ns: SECOND })
}

#[test]
fn s1_first_refused_blocks_order() {
    let mut to = ordered(Limits { publishers: 4, window: 256, message_max: 10_000, ..Limits::default() });
    let s = Source::new(1, 0);
    // A part of a message that is too long is the first that is heard.
    println!("{:?}", s.part(&mut to, 10, (1, 100), &[0; 1000], at(1)));
    println!("{:?}", pass(&mut to, at(1)));
    println!("{:?}", s.part(&mut to, 10, (99, 100), &[0; 1000], at(2)));
    println!("{:?}", pass(&mut to, at(2)));
    for seq in 110..120 {
        println!("{:?}", s.send(&mut to, seq, 0, at(seq)));
        println!("{:?}", pass(&mut to, at(seq)));
    }
    println!("{:?}", pass(&mut to, at(2900)));
    println!("{:?} {:?} {}", to.memory(), to.missing(), to.lost());
}

#[test]
fn s1b_first_refused_blocks_order() {
    let mut to = ordered(Limits { publishers: 4, window: 256, memory: 1408, ..Limits::default() });
    let other = Source::new(2, 0);
    other.send(&mut to, 1, 0, at(1));
    pass(&mut to, at(1));
    println!("other {:?}", other.send(&mut to, 3, 0, at(1)));
    pass(&mut to, at(1));
    let s = Source::new(1, 0);
    println!("{:?}", s.send(&mut to, 1, 0, at(2)));
    println!("{:?}", pass(&mut to, at(1100)));
    for seq in 2..10 {
        println!("{:?}", s.send(&mut to, seq, 0, at(1100 + seq)));
        println!("{:?}", pass(&mut to, at(1100 + seq)));
    }
    println!("{:?}", pass(&mut to, at(2900)));
    println!("{:?} {:?} {}", to.memory(), to.missing(), to.lost());
}

#[test]
fn s2_session_change_with_stale_place() {
    let mut to = ordered(Limits { publishers: 4, window: 256, ..Limits::default() });
    let (a, b) = (Source::new(1, 0), Source::new(2, 0));
    a.send(&mut to, 1, 0, at(1));
    b.send(&mut to, 1, 0, at(1));
    pass(&mut to, at(1));
    a.send(&mut to, 3, 0, at(1));
    pass(&mut to, at(1));
    b.send(&mut to, 2, 0, at(1));
    pass(&mut to, at(1));
    let a2 = Source::new(1, 2);
    println!("{:?} {:?}", a2.send(&mut to, 1, 0, at(3)), pass(&mut to, at(3)));
    for seq in 2..6 {
        println!("{:?} {:?}", a2.send(&mut to, seq, 0, at(4)), pass(&mut to, at(4)));
    }
    println!("{:?} {:?}", pass(&mut to, at(2000)), to.memory());
}

#[test]
fn s3_leap_leaks_fragments() {
    let mut to = Receiver::new(&Limits { publishers: 4, window: 256, ..Limits::default() }, &[]);
    let a = Source::new(1, 0);
    a.part(&mut to, 1, (0, 3), b"x", at(1));
    pass(&mut to, at(1));
    a.send(&mut to, 1000, 0, at(200));
    println!("{:?} {:?}", a.send(&mut to, 1001, 0, at(200)), pass(&mut to, at(2000)));
    println!("{:?}", to.memory());
}

#[test]
fn s4_inconsistent_leak() {
    let mut to = Receiver::new(&Limits { publishers: 4, window: 256, ..Limits::default() }, &[]);
    let a = Source::new(1, 0);
    a.send(&mut to, 1, 0, at(1));
    pass(&mut to, at(1));
    a.part(&mut to, 2, (1, 2), b"x", at(1));
    pass(&mut to, at(1));
    a.send(&mut to, 2, 0, at(1));
    pass(&mut to, at(1));
    for seq in 4..1000 {
        a.send(&mut to, seq, 0, at(1));
    }
    println!("{:?}", pass(&mut to, at(20000)));
    println!("{:?}", to.memory());
}

#[test]
fn s5_full_of_parts() {
    // more memory needed than there is; a stream without pause
    let mut to =
        Receiver::new(&Limits { publishers: 4, window: 256, memory: 10 * 1408, ..Limits::default() }, &[]);
    let (a, b) = (Source::new(1, 0), Source::new(2, 0));
    for k in 0..6 {
        a.part(&mut to, 1, (k, 8), b"x", at(1));
        b.part(&mut to, 1, (k, 8), b"x", at(1));
    }
    pass(&mut to, at(1));
    let mut n = 0;
    for m in 0..300u64 {
        for k in 0..8 {
            for s in [&a, &b] {
                if m > 0 || k > 5 {
                    s.part(&mut to, 1 + m * 8, (k, 8), b"x", at(2 + m));
                    n += messages(&mut to).len();
                }
            }
        }
        pass(&mut to, at(2 + m));
    }
    println!("came {n} {:?} {} {}", to.memory(), to.missing(), to.lost());
}

#[test]
fn s6_told_overflow() {
    let mut to = Receiver::new(&Limits { publishers: 4, window: 256, ..Limits::default() }, &[]);
    let a = Source::new(1, 0);
    let mut now = 1;
    let mut sum = 0;
    let mut drain = |to: &mut Receiver| {
        while let Some(e) = to.event() {
            if let Event::Gap { from, to, .. } = e {
                sum += to - from + 1;
            }
        }
    };
    a.send(&mut to, 256, 0, at(1));
    drain(&mut to);
    // each edge between blocks is missing on both sides
    let arrivals: Vec<u64> = (258..=511)
        .filter(|s| {
            let k = s % 64;
            if k == 63 || k == 0 {
                false
            } else if k <= 30 {
                k % 2 == 1 || false
            } else {
                k == 62 || k == 40 || k == 42 || k == 44 || k == 46
            }
        })
        .collect();
    for seq in arrivals {
        a.send(&mut to, seq, 0, at(now));
        drain(&mut to);
        now += 3;
    }
    println!("spans {}", to.common.told.is_empty());
    let e = to.table.entry_mut(0);
    println!("holes {:?}", e.holes.spans_mut().count());
    a.heartbeat(&mut to, 10_000, at(now + 200));
    drain(&mut to);
    a.end(&mut to, 10_001, at(now + 200));
    drain(&mut to);
    println!("lost {} told {}", to.lost(), sum);
}

#[test]
fn s7_last_of_all_asked_twice() {
    let own = Sequencer::new(9, Session::new(1, 1), 0);
    let mut to = Receiver::new(&Limits { publishers: 4, window: 256, ..Limits::default() }, &[]).asking(own);
    let a = Source::new(1, 0);
    a.send(&mut to, u64::MAX - 40, 0, at(1));
    events(&mut to);
    a.heartbeat(&mut to, u64::MAX, at(1));
    println!("{:?}", requests(&mut to, at(2)));
}

#[test]
fn s8_noticed_on_open() {
    let mut to = Receiver::new(&Limits { publishers: 4, window: 256, ..Limits::default() }, &[]);
    Source::new(1, 0).send(&mut to, 5, 0, at(1));
    println!("{:?}", to.noticed());
}

#[test]
fn s9_silence_in_order_with_a_message_that_never_ends() {
    let mut to = ordered(Limits { publishers: 4, window: 256, ..Limits::default() });
    let a = Source::new(1, 0);
    a.part(&mut to, 1, (0, 9), b"x", at(1));
    pass(&mut to, at(1));
    a.send(&mut to, 2, 0, at(1));
    println!("{:?} {:?}", pass(&mut to, at(20000)), to.memory());
}
