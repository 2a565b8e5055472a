//! Systems beside each other, round by round.

use std::collections::BTreeMap;

use super::gathered::Cell;
use super::outcome::{Bound, Figure, Ratio, Target};
use super::systems::{self, OURS};
use super::targets::{self, Compared};
use crate::statistics::{paired_difference, paired_ratio};

/// Intervals are the same whenever they are calculated from the same figures.
const SEED: u64 = 1;

/// A system, and the one that it is put beside.
pub(super) type Pair = (String, String);

/// What a system came to, round by round.
type Rounds = BTreeMap<usize, f64>;

/// Everything beside each other in one place: the cells are of one number of receivers and one size. The pairs come
/// first, each as far as both take part; then ours beside the best of those that are somebody else's.
pub(super) fn of(cells: &[Cell], pairs: &[Pair], rates: &[f64]) -> Vec<Ratio> {
    let figures = figures(rates);
    let find = |name: &str| cells.iter().find(|cell| cell.system == name);
    let mut ratios = Vec::new();
    for (system, other) in pairs {
        let Some((system, other)) = find(system).zip(find(other)) else { continue };
        ratios.extend(figures.iter().filter_map(|figure| beside(system, other, *figure, false)));
    }
    let peers: Vec<&Cell> = cells.iter().filter(|cell| systems::is_peer(&cell.system)).collect();
    if let Some(ours) = find(OURS) {
        ratios.extend(figures.iter().filter_map(|figure| {
            let all = peers.iter().filter_map(|peer| beside(ours, peer, *figure, true));
            // With nobody who has a figure, ours has nothing to be beside.
            all.max_by(|one, other| against_us(one).total_cmp(&against_us(other)))
        }));
    }
    ratios
}

/// What can be compared: at the highest rate, and at each of the fixed ones.
fn figures(rates: &[f64]) -> Vec<(Figure, Option<f64>)> {
    let mut figures = vec![(Figure::DeliveredPerS, None)];
    for rate in rates {
        let at_rate = [Figure::FirstP50Ns, Figure::LastP50Ns, Figure::LastP99Ns];
        figures.extend(at_rate.map(|figure| (figure, Some(*rate))));
    }
    figures
}

/// How much speaks against the first of the two: the more, the better is the other. Without a ratio nothing is worse,
/// for the other has a figure.
fn against_us(ratio: &Ratio) -> f64 {
    let median = ratio.ratio.map(|all| all.median);
    match ratio.figure {
        Figure::DeliveredPerS => median.map_or(0.0, |median| -median),
        Figure::FirstP50Ns | Figure::LastP50Ns | Figure::LastP99Ns => median.unwrap_or(f64::INFINITY),
    }
}

/// One figure of both; `None` where the other has none, or nobody looked at it.
fn beside(
    system: &Cell,
    other: &Cell,
    (figure, rate): (Figure, Option<f64>),
    best_other: bool,
) -> Option<Ratio> {
    let [ours, theirs] = [system, other].map(|cell| rounds(cell, figure, rate));
    if theirs.is_empty() {
        return None;
    }
    let pairs: Vec<(f64, f64)> =
        ours.iter().filter_map(|(round, value)| Some((*value, *theirs.get(round)?))).collect();
    let (ratio, difference) = (paired_ratio(&pairs, SEED), paired_difference(&pairs, SEED));
    let Cell { receivers, size, .. } = *system;
    let compared = Compared {
        system: &system.system,
        other: (!best_other).then_some(&other.system),
        receivers,
        size,
        figure,
        rate,
    };
    let target = targets::of(compared).map(|(of, value): (Bound, f64)| Target {
        of,
        value,
        met: Target::is_met(of, value, ratio, difference),
    });
    Some(Ratio {
        system: system.system.clone(),
        other: other.system.clone(),
        best_other,
        receivers,
        size,
        figure,
        rate,
        ratio,
        difference,
        target,
    })
}

/// A figure of each round that has it.
fn rounds(cell: &Cell, figure: Figure, rate: Option<f64>) -> Rounds {
    let Some(rate) = rate else {
        return cell.knees.iter().map(|found| (found.round, found.knee.delivered_per_s)).collect();
    };
    let fixed = cell.rates.iter().filter(|fixed| (fixed.rate - rate).abs() < 1e-9);
    let sustained = fixed.flat_map(|fixed| fixed.sustained());
    let value = |[first_p50, last_p50, last_p99]: [f64; 3]| match figure {
        Figure::FirstP50Ns => Some(first_p50),
        Figure::LastP50Ns => Some(last_p50),
        Figure::LastP99Ns => Some(last_p99),
        Figure::DeliveredPerS => None,
    };
    sustained.filter_map(|(round, values)| Some((round, value(values)?))).collect()
}

/// Two systems as they are written, `ONE/OTHER`.
///
/// # Errors
/// Says what would be right.
pub(super) fn pair(text: &str) -> Result<Pair, String> {
    let (system, other) =
        text.split_once('/').ok_or("right would be two systems, as headcast-gso/headcast-plain")?;
    if system == other {
        return Err("right would be two different systems, as headcast-gso/headcast-plain".to_owned());
    }
    Ok((systems::known(system)?, systems::known(other)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::gathered::Found;
    use crate::compare::search::Knee;

    /// A system that delivered so much in some rounds.
    fn cell(system: &str, delivered: &[(usize, f64)]) -> Cell {
        let found = |&(round, delivered_per_s): &(usize, f64)| Found {
            round,
            knee: Knee { rate: 1.0, delivered_per_s, at_limit: false },
        };
        Cell {
            system: system.into(),
            receivers: 32,
            size: 128,
            rates: Vec::new(),
            knees: delivered.iter().map(found).collect(),
            low: Vec::new(),
            high: Vec::new(),
            errors: Vec::new(),
        }
    }

    #[test]
    fn figures_are_divided_within_their_round() {
        let cells = [
            cell("headcast-gso", &[(0, 90.0), (2, 16.0), (3, 50.0)]),
            cell("headcast-plain", &[(0, 10.0), (1, 1.0), (2, 2.0)]),
        ];
        let pairs = [("headcast-gso".to_owned(), "headcast-plain".to_owned())];
        let ratios = of(&cells, &pairs, &[]);
        let [ratio] = &ratios[..] else { panic!("{ratios:?}") };
        let estimate = ratio.ratio.expect("two rounds have both");
        assert_eq!((estimate.pairs, estimate.median), (2, 8.5));
        assert_eq!(ratio.target, Some(Target { of: Bound::RatioAtLeast, value: 8.0, met: true }));
        assert_eq!(of(&cells, &[("relay".to_owned(), "headcast".to_owned())], &[]), [], "neither took part");
    }

    #[test]
    fn ours_is_put_beside_the_best_of_the_others_and_not_beside_its_own_variants() {
        let cells = [
            cell("headcast", &[(0, 40.0), (1, 40.0)]),
            cell("headcast-plain", &[(0, 39.0), (1, 39.0)]),
            cell("redis", &[(0, 10.0), (1, 8.0)]),
            cell("nats", &[(0, 8.0), (1, 4.0)]),
            cell("gstreamer", &[(0, 100.0)]),
            cell("aeron", &[]),
        ];
        let ratios = of(&cells, &[], &[]);
        let [ratio] = &ratios[..] else { panic!("{ratios:?}") };
        assert_eq!((ratio.other.as_str(), ratio.best_other), ("redis", true));
        assert_eq!(ratio.ratio.map(|all| all.median), Some(4.5));
        assert_eq!(ratio.target.map(|target| target.met), Some(false));
    }

    #[test]
    fn who_has_no_figure_where_others_have_one_misses_the_target() {
        let cells = [cell("headcast", &[]), cell("redis", &[(0, 10.0)])];
        let ratios = of(&cells, &[], &[]);
        let [ratio] = &ratios[..] else { panic!("{ratios:?}") };
        assert_eq!((ratio.ratio, ratio.target.map(|target| target.met)), (None, Some(false)));
    }

    #[test]
    fn a_pair_is_two_systems() {
        assert_eq!(pair("relay/headcast"), Ok(("relay".into(), "headcast".into())));
        for text in ["relay", "relay/relay", "relay/", "/headcast", "relay/pigeon"] {
            assert!(pair(text).is_err(), "{text}");
        }
    }
}
