//! What Headcast is to come to beside others and beside itself.

use super::outcome::{Bound, Figure};
use super::systems::{GSO, OURS, PLAIN, RELAY};

/// Pairs that are put beside each other wherever both take part.
pub(super) const PAIRS: [(&str, &str); 3] = [(GSO, PLAIN), (OURS, PLAIN), (RELAY, OURS)];

/// The size that targets are of, in bytes.
const SIZE: usize = 128;
/// Receivers at which throughput is to be shown.
const CROWDS: &[usize] = &[32, 100];
/// At this rate, in messages per second, an engine is idle whenever a message comes.
const IDLE: f64 = 200.0;
/// A rate that everybody sustains, in messages per second.
const MODERATE: f64 = 1_000.0;

/// What a figure is to be.
struct Goal {
    system: &'static str,
    /// None: the best of the others.
    other: Option<&'static str>,
    figure: Figure,
    /// None: the highest.
    rate: Option<f64>,
    /// Empty: any number.
    receivers: &'static [usize],
    of: Bound,
    value: f64,
}

const GOALS: [Goal; 6] = [
    Goal {
        system: OURS,
        other: None,
        figure: Figure::DeliveredPerS,
        rate: None,
        receivers: CROWDS,
        of: Bound::RatioAtLeast,
        value: 5.0,
    },
    Goal {
        system: GSO,
        other: Some(PLAIN),
        figure: Figure::DeliveredPerS,
        rate: None,
        receivers: CROWDS,
        of: Bound::RatioAtLeast,
        value: 8.0,
    },
    Goal {
        system: OURS,
        other: None,
        figure: Figure::LastP99Ns,
        rate: Some(MODERATE),
        receivers: &[100],
        of: Bound::RatioAtMost,
        value: 0.5,
    },
    Goal {
        system: OURS,
        other: Some(PLAIN),
        figure: Figure::FirstP50Ns,
        rate: Some(IDLE),
        receivers: &[],
        of: Bound::RatioAtMost,
        value: 1.03,
    },
    Goal {
        system: RELAY,
        other: Some(OURS),
        figure: Figure::LastP50Ns,
        rate: Some(MODERATE),
        receivers: &[],
        of: Bound::DifferenceAtMost,
        value: 25_000.0,
    },
    Goal {
        system: RELAY,
        other: Some(OURS),
        figure: Figure::DeliveredPerS,
        rate: None,
        receivers: &[],
        of: Bound::RatioAtLeast,
        value: 0.7,
    },
];

/// What is compared: who, with whom (none: the best of the others), where, and what.
#[derive(Clone, Copy)]
pub(super) struct Compared<'a> {
    pub(super) system: &'a str,
    pub(super) other: Option<&'a str>,
    pub(super) receivers: usize,
    pub(super) size: usize,
    pub(super) figure: Figure,
    pub(super) rate: Option<f64>,
}

/// What that is to be, if anything.
pub(super) fn of(compared: Compared<'_>) -> Option<(Bound, f64)> {
    let same_rate = |goal: Option<f64>| match (goal, compared.rate) {
        (Some(goal), Some(rate)) => (goal - rate).abs() < 1e-9,
        (goal, rate) => goal.is_none() && rate.is_none(),
    };
    let goal = GOALS.iter().find(|goal| {
        (goal.system, goal.other, goal.figure) == (compared.system, compared.other, compared.figure)
            && compared.size == SIZE
            && same_rate(goal.rate)
            && (goal.receivers.is_empty() || goal.receivers.contains(&compared.receivers))
    })?;
    Some((goal.of, goal.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_of_one_figure_in_one_place() {
        let place = Compared {
            system: OURS,
            other: None,
            receivers: 32,
            size: 128,
            figure: Figure::DeliveredPerS,
            rate: None,
        };
        assert_eq!(of(place), Some((Bound::RatioAtLeast, 5.0)));
        assert_eq!(of(Compared { receivers: 8, ..place }), None);
        assert_eq!(of(Compared { size: 1024, ..place }), None);
        assert_eq!(of(Compared { system: PLAIN, ..place }), None);
        let first = Compared { other: Some(PLAIN), figure: Figure::FirstP50Ns, rate: Some(200.0), ..place };
        assert_eq!(of(first), Some((Bound::RatioAtMost, 1.03)));
        assert_eq!(of(Compared { rate: Some(10_000.0), ..first }), None);
        assert_eq!(of(Compared { rate: None, ..first }), None);
    }

    #[test]
    fn every_target_is_of_a_pair_that_is_looked_at() {
        for goal in &GOALS {
            assert!(goal.other.is_none_or(|other| PAIRS.contains(&(goal.system, other))), "{}", goal.system);
        }
    }
}
