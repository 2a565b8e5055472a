//! The window agrees with the set of everything that ever arrived.
//!
//! Byte 0 chooses the width. Then steps: one byte says which, the next ones how far.

use headcast_proto::window::oracle::Oracle;
use headcast_proto::window::{Arrival, Window};

use crate::script::{STEPS_MAX, Script};

/// What the test itself knows of the sequences since the last reset.
#[derive(Default)]
struct Tally {
    new: u64,
    first: u64,
    highest: u64,
}

pub(crate) fn check(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let bits = 128 << (script.u8() % 4);
    let (mut window, mut oracle, mut tally) = (Window::new(bits), Oracle::new(bits), Tally::default());
    assert_eq!(window.span(), bits as u64 - 64);
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            return;
        }
        let highest = tally.highest;
        match script.u8() % 9 {
            // Sequences count from 1; a datagram with 0 never gets as far as a window.
            0 => observe(&mut window, &mut oracle, &mut tally, near(highest, script.i8().into())),
            1 => observe(&mut window, &mut oracle, &mut tally, near(highest, script.i16().into())),
            2 => observe(&mut window, &mut oracle, &mut tally, script.u64().max(1)),
            3 => observe(&mut window, &mut oracle, &mut tally, u64::MAX - u64::from(script.u8())),
            // Where the window begins, give or take a few.
            4 => {
                let low = (highest / 64 * 64).saturating_sub(window.span());
                observe(&mut window, &mut oracle, &mut tally, near(low, script.i8().into()));
            }
            5 => advance(&mut window, &mut oracle, &mut tally, near(highest, script.u16().into())),
            6 => advance(&mut window, &mut oracle, &mut tally, script.u64()),
            7 => reset(&mut window, &mut oracle, &mut tally, script.u16().into()),
            _ => reset(&mut window, &mut oracle, &mut tally, u64::MAX - u64::from(script.u8())),
        }
        assert_eq!((window.lost(), window.missing()), (oracle.lost(), oracle.missing()), "lost and missing");
        assert_eq!(window.highest(), tally.highest, "the highest");
        assert!(window.missing() <= bits as u64, "no more can be missing than the bitmap has room for");
        if tally.new > 0 {
            let due = u128::from(tally.highest - tally.first) + 1;
            let booked = u128::from(tally.new) + u128::from(window.lost()) + u128::from(window.missing());
            assert_eq!(booked, due, "every sequence since the first is new, lost or missing");
        }
    }
}

fn near(seq: u64, by: i64) -> u64 {
    seq.saturating_add_signed(by).max(1)
}

fn observe(window: &mut Window, oracle: &mut Oracle, tally: &mut Tally, seq: u64) {
    let arrival = window.observe(seq);
    assert_eq!(arrival, oracle.observe(seq), "sequence {seq}");
    if arrival == Arrival::New {
        tally.first = if tally.new == 0 { seq } else { tally.first.min(seq) };
        tally.highest = tally.highest.max(seq);
        tally.new += 1;
        assert_eq!(window.observe(seq), Arrival::Duplicate, "sequence {seq} once more");
        oracle.observe(seq);
    }
}

fn advance(window: &mut Window, oracle: &mut Oracle, tally: &mut Tally, seq: u64) {
    window.advance(seq);
    oracle.advance(seq);
    if tally.new > 0 {
        tally.highest = tally.highest.max(seq);
    }
}

fn reset(window: &mut Window, oracle: &mut Oracle, tally: &mut Tally, floor: u64) {
    window.reset(floor);
    oracle.reset(floor);
    *tally = Tally::default();
}
