use super::*;

const MS: u64 = 1_000_000;

fn sent(schedule: &mut Schedule, now_ns: u64) -> Option<(u64, u8)> {
    let Next::Send { seq, copy } = schedule.next(now_ns) else { return None };
    schedule.sent(seq, copy, now_ns);
    Some((seq, copy))
}

#[test]
fn later_copies_follow_at_geometric_distances() {
    let mut schedule = Schedule::new(16, 4, 2 * MS, Lagging::Send);
    schedule.push();
    assert_eq!(sent(&mut schedule, 100), Some((1, 0)));
    for (copy, offset) in [(1, 2), (2, 6), (3, 14)] {
        assert_eq!(schedule.next(100 + offset * MS - 1), Next::At(100 + offset * MS));
        assert_eq!(sent(&mut schedule, 100 + offset * MS), Some((1, copy)));
    }
    assert_eq!(schedule.next(u64::MAX), Next::Idle);
}

#[test]
fn copies_go_out_pass_by_pass_and_first_copies_first() {
    let mut schedule = Schedule::new(16, 2, MS, Lagging::Send);
    schedule.push();
    schedule.push();
    let mut passes: Vec<_> = std::iter::from_fn(|| sent(&mut schedule, 0)).collect();
    schedule.push();
    passes.extend(std::iter::from_fn(|| sent(&mut schedule, MS)));
    passes.extend(std::iter::from_fn(|| sent(&mut schedule, 2 * MS)));
    assert_eq!(passes, [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1)]);
}

#[test]
fn a_datagram_that_is_alone_is_what_comes_next_and_no_other_with_it() {
    for lagging in [Lagging::Send, Lagging::Shed] {
        for copies in 1..4 {
            let mut schedule = Schedule::new(8, copies, MS, lagging);
            let mut alone = 0;
            // Later copies lag more and more, go out all at once, and begin to lag again.
            for (turn, seq) in (1..40u64).enumerate() {
                let now_ns = if turn % 10 == 0 { u64::MAX } else { 0 };
                while now_ns > 0 && sent(&mut schedule, now_ns).is_some() {}
                schedule.push();
                let is_alone = schedule.is_alone(seq);
                assert!(!schedule.is_alone(seq + 1));
                let first = Next::Send { seq, copy: 0 };
                if is_alone {
                    assert_eq!((schedule.next(0), schedule.goes_on(seq, 0)), (first, false));
                    alone += 1;
                }
                while schedule.unsent() > 0 && sent(&mut schedule, 0).is_some() {}
                assert_eq!(schedule.has_later(), schedule.backlog() > 0);
            }
            assert!(alone > 10, "{lagging:?} {copies}");
        }
    }
}

#[test]
fn a_slot_is_free_once_every_copy_is_out() {
    let mut schedule = Schedule::new(4, 2, MS, Lagging::Send);
    for _ in 0..4 {
        schedule.push();
    }
    assert!(!schedule.has_room());
    assert_eq!(sent(&mut schedule, 0), Some((1, 0)));
    assert_eq!(sent(&mut schedule, 0), Some((2, 0)));
    assert!(!schedule.has_room());
    assert_eq!(sent(&mut schedule, MS), Some((1, 1)));
    assert!(schedule.has_room());
    assert_eq!(schedule.room(), 1);
}

#[test]
fn dropping_the_oldest_sheds_later_copies_before_first_copies() {
    let mut schedule = Schedule::new(4, 2, MS, Lagging::Shed);
    for _ in 0..4 {
        schedule.push();
    }
    sent(&mut schedule, 0);
    assert_eq!(schedule.drop_oldest(), Dropped { seq: 1, unsent: false });
    assert_eq!(schedule.shed(), 1);
    schedule.push();
    assert_eq!(schedule.drop_oldest(), Dropped { seq: 2, unsent: true });
    assert_eq!(sent(&mut schedule, 0), Some((3, 0)));
}

#[test]
fn a_copy_that_lags_too_far_is_sent_first_or_shed() {
    for lagging in [Lagging::Send, Lagging::Shed] {
        let mut schedule = Schedule::new(64, 2, MS, lagging);
        for _ in 0..17 {
            schedule.push();
            sent(&mut schedule, 0);
        }
        schedule.push();
        // 64 slots let a copy lag by 16 datagrams.
        let (first, shed) = match lagging {
            Lagging::Send => ((1, 1), 0),
            Lagging::Shed => ((18, 0), 1),
        };
        assert_eq!(sent(&mut schedule, 0), Some(first));
        assert_eq!(schedule.shed(), shed);
    }
}

#[test]
fn one_copy_leaves_nothing_to_wait_for() {
    let mut schedule = Schedule::new(4, 1, MS, Lagging::Send);
    schedule.push();
    assert_eq!(sent(&mut schedule, 0), Some((1, 0)));
    assert_eq!(schedule.next(0), Next::Idle);
    assert_eq!(schedule.backlog(), 0);
}

#[test]
fn a_run_ends_where_a_copy_is_not_due() {
    let mut schedule = Schedule::new(64, 2, 2 * MS, Lagging::Send);
    (0..8).for_each(|_| schedule.push());
    assert_eq!(schedule.run(1, 0, 100, 0), 8);
    assert_eq!(schedule.run(1, 0, 3, 0), 3);
    schedule.sent_run(1, 3, 0, 0);
    schedule.sent_run(4, 5, 0, MS);
    assert_eq!(schedule.next(2 * MS), Next::Send { seq: 1, copy: 1 });
    assert_eq!(schedule.run(1, 1, 100, 2 * MS), 3);
    schedule.sent_run(1, 3, 1, 2 * MS);
    assert_eq!(schedule.next(2 * MS), Next::At(3 * MS));
    assert_eq!(schedule.run(4, 1, 100, 3 * MS), 5);
    schedule.sent_run(4, 5, 1, 3 * MS);
    assert_eq!(
        (schedule.next(9 * MS), schedule.backlog(), schedule.last_sent()),
        (Next::Idle, 0, Some((8, MS)))
    );
}

#[test]
fn a_run_of_first_copies_leaves_later_ones_time() {
    for (copies, run) in [(1, 64), (2, 16), (3, 16)] {
        let mut schedule = Schedule::new(64, copies, MS, Lagging::Shed);
        (0..64).for_each(|_| schedule.push());
        assert_eq!(schedule.run(1, 0, 100, 0), run);
        schedule.sent_run(1, run, 0, 0);
        assert_eq!(schedule.shed(), 0);
    }
}

#[test]
fn where_first_copies_never_end_their_runs_stay_long() {
    for (lagging, shortest) in [(Lagging::Shed, 16), (Lagging::Send, 1)] {
        let mut schedule = Schedule::new(64, 2, MS, lagging);
        let (mut runs, mut firsts) = (Vec::new(), 0);
        for turn in 0..200 {
            while schedule.has_room() {
                schedule.push();
            }
            let now_ns = turn * 2 * MS;
            let Next::Send { seq, copy } = schedule.next(now_ns) else { panic!("there is no end of them") };
            let run = schedule.run(seq, copy, 32, now_ns);
            schedule.sent_run(seq, run, copy, now_ns);
            if copy == 0 {
                firsts += run;
                runs.push(run);
            }
        }
        assert_eq!(runs.iter().min(), Some(&shortest), "{lagging:?}: {runs:?}");
        assert!(firsts > 1_000, "{lagging:?}: {firsts}");
        assert_eq!(schedule.shed() > 0, lagging == Lagging::Shed);
    }
}
