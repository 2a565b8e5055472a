use proptest::prelude::*;

use super::oracle::Oracle;
use super::{Arrival, Window};

mod exhaustive;

#[derive(Clone, Debug)]
enum Step {
    /// Relative to the highest, so that all regions are met.
    Observe(i64),
    Far(u64),
    Advance(u64),
    Reset(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (-5i64..6).prop_map(Step::Observe),
        4 => (-600i64..600).prop_map(Step::Observe),
        1 => any::<u64>().prop_map(Step::Far),
        1 => (0u64..8).prop_map(|back| Step::Far(u64::MAX - back)),
        1 => (0u64..2_000).prop_map(Step::Advance),
        1 => (0u64..200).prop_map(Step::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn the_window_agrees_with_its_oracle(start in prop_oneof![1u64..1_000, (u64::MAX - 2_000)..u64::MAX],
                                         steps in proptest::collection::vec(step(), 1..200)) {
        let mut window = Window::new(256);
        let mut oracle = Oracle::new(256);
        prop_assert_eq!(window.observe(start), oracle.observe(start));
        for step in steps {
            match step {
                Step::Observe(by) => {
                    let seq = window.highest().saturating_add_signed(by).max(1);
                    prop_assert_eq!(window.observe(seq), oracle.observe(seq), "seq {}", seq);
                }
                Step::Far(seq) => {
                    let seq = seq.max(1);
                    prop_assert_eq!(window.observe(seq), oracle.observe(seq), "seq {}", seq);
                }
                Step::Advance(by) => {
                    let seq = window.highest().saturating_add(by);
                    window.advance(seq);
                    oracle.advance(seq);
                }
                Step::Reset(floor) => {
                    window.reset(floor);
                    oracle.reset(floor);
                }
            }
            prop_assert_eq!(window.lost(), oracle.lost());
            prop_assert_eq!(window.missing(), oracle.missing());
        }
    }
}

#[test]
fn a_sequence_is_new_once() {
    let mut window = Window::new(8192);
    assert_eq!(window.observe(10), Arrival::New);
    assert_eq!(window.observe(10), Arrival::Duplicate);
    assert_eq!(window.observe(9), Arrival::New);
    assert_eq!(window.observe(9), Arrival::Duplicate);
}

#[test]
fn at_least_the_stated_number_of_sequences_is_remembered() {
    for highest in 20_000..20_064 {
        let mut window = Window::new(8192);
        let oldest = highest - (8192 - 63) + 1;
        window.observe(oldest);
        window.advance(highest);
        assert_eq!(window.observe(oldest), Arrival::Duplicate);
    }
}

#[test]
fn the_last_sequences_of_all_do_not_overflow() {
    let mut window = Window::new(128);
    assert_eq!(window.observe(u64::MAX - 1), Arrival::New);
    assert_eq!(window.observe(u64::MAX), Arrival::New);
    assert_eq!(window.observe(u64::MAX), Arrival::Duplicate);
    assert_eq!(window.observe(1), Arrival::Behind);
    window.advance(u64::MAX);
    assert_eq!((window.lost(), window.missing()), (0, 0));
}
