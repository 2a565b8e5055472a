//! Every short history of the smallest window, around the edges of its blocks.

use super::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Observe(u64),
    Advance(u64),
    Fill(u64, u64),
}
use Act::{Advance, Fill, Observe};

/// On both sides of the edges, and as far as the smallest window does and does not reach.
const ACTS: [Act; 17] = [
    Observe(1),
    Observe(2),
    Observe(63),
    Observe(64),
    Observe(65),
    Observe(127),
    Observe(128),
    Observe(192),
    Observe(320),
    Advance(64),
    Advance(128),
    Advance(191),
    Advance(383),
    Fill(1, 383),
    Fill(2, 64),
    Fill(64, 127),
    Fill(128, 128),
];
const EDGES: [u64; 11] = [1, 2, 62, 63, 64, 65, 127, 128, 191, 192, 320];
/// How a window may begin: empty, or awaiting the first sequence to the second.
const BEGINNINGS: [Option<(u64, u64)>; 5] =
    [None, Some((1, 1)), Some((1, 64)), Some((60, 70)), Some((1, 200))];

/// The window, and what it must be like. Sequences count from `base`, which is at the edge of a block.
#[derive(Clone)]
struct Pair {
    base: u64,
    window: Window,
    oracle: Oracle,
}

impl Pair {
    fn new(base: u64, beginning: Option<(u64, u64)>) -> Self {
        let (mut window, mut oracle) = (Window::new(128), Oracle::new(128));
        if let Some((first, highest)) = beginning {
            window.start_at(base + first, base + highest);
            oracle.start_at(base + first, base + highest);
        }
        Self { base, window, oracle }
    }

    fn play(&mut self, act: Act) {
        match act {
            Observe(seq) => {
                assert_eq!(self.window.observe(self.base + seq), self.oracle.observe(self.base + seq));
            }
            Advance(seq) => {
                self.window.advance(self.base + seq);
                self.oracle.advance(self.base + seq);
            }
            // Only what is awaited is ever given up.
            Fill(..) if self.oracle.first() == 0 => {}
            Fill(from, to) => {
                let (from, to) = ((self.base + from).max(self.oracle.first()), self.base + to);
                let mut missed = Vec::new();
                self.window.fill(from, to, |block, mask| {
                    missed.extend((0..64).filter(|bit| mask >> bit & 1 == 1).map(|bit| block + bit));
                });
                assert_eq!(missed, self.oracle.fill(from, to));
            }
        }
    }

    fn compare(&self) {
        let (window, oracle) = (&self.window, &self.oracle);
        assert_eq!((window.lost(), window.missing()), (oracle.lost(), oracle.missing()));
        for edge in EDGES {
            let seq = self.base + edge;
            assert_eq!(window.has_seen(seq), oracle.has_seen(seq), "{edge}");
            for to in [edge, 64, 383] {
                let to = self.base + to;
                assert_eq!(window.next_missing(seq, to), oracle.next_missing(seq, to), "{edge}");
            }
        }
    }

    /// Plays every history of so many more steps.
    fn explore(&self, depth: u32, history: &mut Vec<Act>) {
        if depth == 0 {
            return;
        }
        for act in ACTS {
            let mut next = self.clone();
            history.push(act);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                next.play(act);
                next.compare();
            }));
            assert!(outcome.is_ok(), "history {history:?} from {}", self.base);
            next.explore(depth - 1, history);
            history.pop();
        }
    }
}

#[test]
fn an_empty_window_agrees_with_its_oracle_on_every_history_of_4_steps() {
    for base in [0, 0u64.wrapping_sub(384)] {
        Pair::new(base, None).explore(4, &mut Vec::new());
    }
}

#[test]
fn a_window_that_awaits_agrees_with_its_oracle_on_every_history_of_3_steps() {
    for base in [0, 0u64.wrapping_sub(384)] {
        for beginning in BEGINNINGS {
            Pair::new(base, beginning).explore(3, &mut Vec::new());
        }
    }
}

/// Only arrivals, so that longer histories can be played.
#[test]
fn the_window_agrees_with_its_oracle_on_every_order_of_6_arrivals() {
    const SEQS: [u64; 7] = [1, 63, 64, 65, 128, 192, 320];
    for history in 0..7u32.pow(6) {
        let mut pair = Pair::new(0, None);
        for place in 0..6 {
            pair.play(Observe(SEQS[(history / 7u32.pow(place) % 7) as usize]));
            assert_eq!(
                (pair.window.lost(), pair.window.missing()),
                (pair.oracle.lost(), pair.oracle.missing()),
                "history {history}"
            );
        }
    }
}

#[test]
fn a_bit_of_every_sequence_is_found_and_filled_on_its_own() {
    for base in [0, 0u64.wrapping_sub(192)] {
        for seq in 1..192 {
            let mut window = Window::new(256);
            window.start_at(base + 1, base + 191);
            let mut missed = Vec::new();
            window.fill(base + seq, base + seq, |block, mask| missed.push((block, mask)));
            assert_eq!(missed, [((base + seq) / 64 * 64, 1 << (seq % 64))]);
            assert!(window.has_seen(base + seq));
            assert_eq!(window.next_missing(base + seq, base + 191), (seq < 191).then(|| base + seq + 1));
            assert_eq!(window.next_missing(base + 1, base + seq), (seq > 1).then_some(base + 1));
        }
    }
}

#[test]
fn every_span_that_is_filled_is_all_of_it_and_no_more() {
    for from in 1..=192 {
        for to in from..=192 {
            let mut window = Window::new(256);
            window.start_at(1, 192);
            let mut count = 0;
            window.fill(from, to, |_, mask| count += u64::from(mask.count_ones()));
            assert_eq!((count, window.missing()), (to - from + 1, 192 - count));
        }
    }
}
