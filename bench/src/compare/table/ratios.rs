//! Systems beside each other, in words.

use super::super::outcome::{Bound, Figure, Ratio};
use crate::load::latencies::human;
use crate::statistics::Estimate;

/// What stands above the cells of [`Ratio::told`].
pub(crate) const HEAD: [&str; 6] =
    ["beside each other", "figure", "ratio (95 %)", "difference (95 %)", "rounds", "target"];
/// What has to be known to read them.
pub(crate) const LEGEND: &str = "Figures beside each other, round by round: the median of the rounds' ratios, and of \
                                 their differences, with its 95 % bootstrap interval. A round counts in which both have the \
                                 figure, and sustained the rate. The best other is the one of Redis, NATS, Mosquitto, \
                                 ZeroMQ and Aeron whose ratio is the worst for Headcast.";

impl Ratio {
    /// A line of a table.
    pub(crate) fn told(&self) -> [String; 6] {
        let best = if self.best_other { " (best other)" } else { "" };
        let what = match self.figure {
            Figure::DeliveredPerS => "delivered/s",
            Figure::FirstP50Ns => "p50 of first",
            Figure::LastP50Ns => "p50 of last",
            Figure::LastP99Ns => "p99 of last",
        };
        let rate = self.rate.map_or(String::new(), |rate| format!(" at {rate}/s"));
        let none = || "-".to_owned();
        // Of rates the ratio says it all.
        let difference = self.difference.filter(|_| self.figure != Figure::DeliveredPerS);
        [
            format!("{} / {}{best}", self.system, self.other),
            format!("{what}{rate}"),
            self.ratio.map_or_else(none, |ratio| interval(ratio, |value| format!("{value:.3}"))),
            difference.map_or_else(none, |difference| interval(difference, signed)),
            self.ratio.map_or(0, |ratio| ratio.pairs).to_string(),
            self.target().unwrap_or_else(none),
        ]
    }

    fn target(&self) -> Option<String> {
        let target = self.target?;
        let bound = match target.of {
            Bound::RatioAtLeast => format!("at least {}", target.value),
            Bound::RatioAtMost => format!("at most {}", target.value),
            Bound::DifferenceAtMost => format!("at most {} more", human(whole(target.value))),
        };
        Some(format!("{bound}: {}", if target.met { "met" } else { "missed" }))
    }

    /// Whether it is not what it is to be.
    pub(crate) fn misses(&self) -> bool {
        self.target.is_some_and(|target| !target.met)
    }
}

fn interval(estimate: Estimate, told: fn(f64) -> String) -> String {
    let [median, low, high] = [estimate.median, estimate.low, estimate.high].map(told);
    format!("{median} ({low} to {high})")
}

/// `+12.3 us`.
fn signed(ns: f64) -> String {
    format!("{}{}", if ns < 0.0 { '-' } else { '+' }, human(whole(ns.abs())))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
fn whole(ns: f64) -> u64 {
    ns.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::outcome::Target;

    #[test]
    fn a_line_says_what_is_compared_by_how_much_and_whether_that_is_enough() {
        let estimate =
            |median: f64| Some(Estimate { median, low: median - 0.25, high: median + 0.25, pairs: 20 });
        let line = Ratio {
            system: "relay".into(),
            other: "headcast".into(),
            best_other: false,
            receivers: 32,
            size: 128,
            figure: Figure::LastP50Ns,
            rate: Some(1_000.0),
            ratio: estimate(1.5),
            difference: Some(Estimate { median: -2_500.0, low: -3_000.0, high: 30_000.0, pairs: 20 }),
            target: Some(Target { of: Bound::DifferenceAtMost, value: 25_000.0, met: true }),
        };
        assert_eq!(
            line.told(),
            [
                "relay / headcast",
                "p50 of last at 1000/s",
                "1.500 (1.250 to 1.750)",
                "-2.50 us (-3.00 us to +30.0 us)",
                "20",
                "at most 25.0 us more: met"
            ]
        );
        let missed = Ratio {
            best_other: true,
            figure: Figure::DeliveredPerS,
            rate: None,
            ratio: None,
            target: Some(Target { of: Bound::RatioAtLeast, value: 5.0, met: false }),
            ..line
        };
        assert!(missed.misses());
        assert_eq!(
            missed.told(),
            ["relay / headcast (best other)", "delivered/s", "-", "-", "0", "at least 5: missed"]
        );
    }
}
