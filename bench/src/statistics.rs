//! From pairs of times to one ratio, and how sure it is.
//!
//! Times on a machine that others use drift together, so times are compared only within a pair that
//! was measured back to back; the result is the median of the pairs' ratios. Its interval is the
//! percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13): draw as
//! many ratios with replacement, take their median, again and again; 95 % of those medians lie in it.

/// Resamples of one bootstrap: the interval's ends then move by well under their own width.
const RESAMPLES: usize = 10_000;

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Estimate {
    /// The median of the sample.
    pub median: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// How many values the sample has.
    pub pairs: usize,
}

/// The median of the ratios of pairs, and its bootstrap interval; `None` without a pair.
///
/// The same pairs and the same seed give the same interval.
#[must_use]
pub fn paired_ratio(pairs: &[(f64, f64)], seed: u64) -> Option<Estimate> {
    let ratios: Vec<f64> = pairs.iter().map(|(numerator, denominator)| numerator / denominator).collect();
    estimate(&ratios, seed)
}

/// The median of the differences of pairs, first less second, and its bootstrap interval; `None` without a pair.
///
/// The same pairs and the same seed give the same interval.
#[must_use]
pub fn paired_difference(pairs: &[(f64, f64)], seed: u64) -> Option<Estimate> {
    let differences: Vec<f64> = pairs.iter().map(|(one, other)| one - other).collect();
    estimate(&differences, seed)
}

fn estimate(sample: &[f64], seed: u64) -> Option<Estimate> {
    let median = median(sample)?;
    let mut random = SplitMix64(seed);
    let mut resample = vec![0.0; sample.len()];
    let mut medians = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        resample.fill_with(|| sample[random.below(sample.len())]);
        medians.push(median_of(&mut resample));
    }
    medians.sort_by(f64::total_cmp);
    let (low, high) = (medians[RESAMPLES / 40], medians[RESAMPLES - 1 - RESAMPLES / 40]);
    Some(Estimate { median, low, high, pairs: sample.len() })
}

/// The middle value, or the mean of the two in the middle; `None` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| median_of(&mut values.to_vec()))
}

fn median_of(values: &mut [f64]) -> f64 {
    let (middle, odd) = (values.len() / 2, values.len() % 2 == 1);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if odd {
        return *upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    f64::midpoint(lower, *upper)
}

/// Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators (2014): 64 bits of state are
/// plenty to draw with, and a seed reproduces a result for ever.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `end`; the bias of the multiplication is below `end / 2^64`.
    fn below(&mut self, end: usize) -> usize {
        let scaled = (u128::from(self.next()) * end as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 10.0, 2.0]), Some(3.0));
    }

    #[test]
    fn the_ratio_is_the_median_of_the_ratios_and_not_the_ratio_of_the_medians() {
        // Ratios 2, 0.5, 2; medians 4 and 4.
        let estimate = paired_ratio(&[(2.0, 1.0), (4.0, 8.0), (8.0, 4.0)], 1).expect("there are pairs");
        assert_eq!(estimate.median, 2.0);
    }

    #[test]
    fn the_difference_is_that_within_pairs() {
        let estimate = paired_difference(&[(5.0, 1.0), (10.0, 9.0), (4.0, 2.0)], 1).expect("there are pairs");
        assert_eq!((estimate.median, estimate.low, estimate.high), (2.0, 1.0, 4.0));
    }

    #[test]
    fn pairs_that_agree_leave_no_doubt() {
        let estimate = paired_ratio(&[(3.0, 2.0); 20], 7).expect("there are pairs");
        assert_eq!(estimate, Estimate { median: 1.5, low: 1.5, high: 1.5, pairs: 20 });
    }

    #[test]
    fn the_interval_of_1_to_25_is_the_one_that_the_binomial_gives() {
        // A resample's median is at most the k-th value when at least 13 of 25 draws are: P(Bin(25,
        // k/25) >= 13) passes 2.5 % at k = 8. So the exact ends are 8 and 18.
        let pairs: Vec<_> = (1..=25).map(|i| (f64::from(i), 1.0)).collect();
        for seed in 0..5 {
            let estimate = paired_ratio(&pairs, seed).expect("there are pairs");
            assert_eq!(estimate.median, 13.0);
            assert!((7.0..=9.0).contains(&estimate.low), "seed {seed}: {estimate:?}");
            assert!((17.0..=19.0).contains(&estimate.high), "seed {seed}: {estimate:?}");
        }
    }

    #[test]
    fn a_seed_reproduces_its_interval() {
        let pairs: Vec<_> = (1..=20).map(|i| (f64::from(i * i % 17), f64::from(i))).collect();
        assert_eq!(paired_ratio(&pairs, 42), paired_ratio(&pairs, 42));
        assert_eq!(paired_ratio(&[], 42), None);
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The vector for seed 1234567 that goes with the reference implementation.
        let mut random = SplitMix64(1_234_567);
        let drawn: Vec<_> = (0..3).map(|_| random.next()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
