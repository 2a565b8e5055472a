//! The search for the highest rate that a system sustains.

/// The most that a search tries, in messages per second: beyond what one thread can hand over.
pub(super) const RATE_MAX: f64 = 10_000_000.0;
/// Below this a system is said to sustain nothing.
const RATE_MIN: f64 = 5.0;

/// How a search goes: upwards by `factor` until a rate fails twice, then between the last that was sustained and that
/// one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// The first rate that is tried, in messages per second.
    pub(super) start: f64,
    /// From one rate to the next; above 1.
    pub(super) factor: f64,
    /// How often what is between is halved, on a scale of ratios.
    pub(super) halvings: usize,
    /// No higher rate is tried.
    pub(super) limit: f64,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Knee {
    /// The highest rate that was sustained, in messages per second.
    pub(super) rate: f64,
    /// Messages delivered per second at it, all receivers together.
    pub(super) delivered_per_s: f64,
    /// No higher one was tried.
    pub(super) at_limit: bool,
}

impl Search {
    /// Without any knowledge of the system.
    pub(super) const fn blind(limit: f64) -> Self {
        Self { start: 2_000.0, factor: 2.0, halvings: 4, limit }
    }

    /// When it sustained this rate before.
    pub(super) const fn around(rate: f64, limit: f64) -> Self {
        Self { start: 0.7 * rate, factor: 1.35, halvings: 3, limit }
    }

    /// Searches. `sustains` tries a rate and says how many messages per second were delivered, or `None` when it was not
    /// sustained. `None` when there is no such rate.
    ///
    /// # Errors
    /// As `sustains`.
    pub(super) fn run<E>(
        &self,
        mut sustains: impl FnMut(f64) -> Result<Option<f64>, E>,
    ) -> Result<Option<Knee>, E> {
        // One failure may be the machine's; twice is the system's.
        let mut twice = |rate| match sustains(rate)? {
            None => sustains(rate),
            sustained => Ok(sustained),
        };
        let mut best: Option<Knee> = None;
        let (mut rate, mut failed) = (self.start.min(self.limit), None);
        while failed.is_none() || best.is_none() {
            match twice(rate)? {
                Some(delivered_per_s) => {
                    let at_limit = rate >= self.limit;
                    best = Some(Knee { rate, delivered_per_s, at_limit });
                    if at_limit || failed.is_some() {
                        break;
                    }
                    rate = (rate * self.factor).min(self.limit);
                }
                None => {
                    failed = Some(rate);
                    if best.is_none() {
                        // It may be far below.
                        rate /= self.factor.max(2.0);
                    }
                    if rate < RATE_MIN {
                        return Ok(None);
                    }
                }
            }
        }
        let (Some(mut best), Some(mut failed)) = (best, failed) else { return Ok(best) };
        for _ in 0..self.halvings {
            let rate = (best.rate * failed).sqrt();
            match sustains(rate)? {
                Some(delivered_per_s) => best = Knee { rate, delivered_per_s, at_limit: false },
                None => failed = rate,
            }
        }
        Ok(Some(best))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Sustains up to `knee`, and counts how often it is tried.
    fn search(search: Search, knee: f64) -> (Option<Knee>, usize) {
        let mut tries = 0;
        let found = search.run(|rate| {
            tries += 1;
            Ok::<_, Infallible>((rate <= knee).then_some(8.0 * rate))
        });
        (found.expect("infallible"), tries)
    }

    #[test]
    fn the_highest_rate_is_found_wherever_it_is() {
        for knee in [11.0, 150.0, 1_999.0, 2_000.0, 2_001.0, 77_000.0, 1_500_000.0, 9_000_000.0] {
            let (found, tries) = search(Search::blind(RATE_MAX), knee);
            let found = found.expect("there is one");
            assert!(found.rate <= knee && found.rate > 0.91 * knee, "{knee}: {found:?}");
            assert!((found.delivered_per_s - 8.0 * found.rate).abs() < 1e-6 && !found.at_limit);
            assert!(tries < 25, "{knee}: {tries} tries");
            let (near, tries) = search(Search::around(found.rate, RATE_MAX), knee);
            assert!(
                near.is_some_and(|near| near.rate <= knee && near.rate > 0.95 * knee),
                "{knee}: {near:?}"
            );
            assert!(tries < 12, "{knee}: {tries} tries");
        }
    }

    #[test]
    fn a_limit_ends_it() {
        let (found, _) = search(Search::blind(5_000.0), 1e9);
        assert_eq!(found, Some(Knee { rate: 5_000.0, delivered_per_s: 40_000.0, at_limit: true }));
    }

    #[test]
    fn what_sustains_nothing_has_none() {
        let (found, tries) = search(Search::blind(RATE_MAX), 1.0);
        assert_eq!(found, None);
        assert!(tries < 20);
    }

    #[test]
    fn one_failure_on_the_way_up_is_forgiven() {
        let mut tries = 0;
        let found = Search::blind(RATE_MAX).run(|rate| {
            tries += 1;
            Ok::<_, Infallible>((rate <= 50_000.0 && tries != 2).then_some(rate))
        });
        assert!(found.expect("infallible").is_some_and(|knee| knee.rate > 45_000.0));
    }
}
