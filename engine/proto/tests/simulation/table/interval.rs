//! How sure a measured share is.

/// How many standard deviations a normal variable is within, 95 and 99.9 times of 100.
pub(crate) const Z_95: f64 = 1.959_964;
pub(crate) const Z_999: f64 = 3.290_527;

/// What worlds have seen: how many of how many, in each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) each: u64,
    pub(crate) hits: Vec<u64>,
    /// The least that the design effect is taken for, while there are too few hits to tell it.
    pub(crate) least_effect: f64,
}

/// So many hits tell the design effect.
const TELLING: u64 = 10;

impl Sample {
    pub(crate) fn total(&self) -> u64 {
        self.each * self.hits.len() as u64
    }

    pub(crate) fn share(&self) -> f64 {
        self.hits.iter().sum::<u64>() as f64 / self.total() as f64
    }

    /// How much more the worlds differ than they would if each message were lost for itself; never less
    /// than 1. (Kish's design effect: dependent samples are worth fewer independent ones.)
    pub(crate) fn design_effect(&self) -> f64 {
        let (share, worlds) = (self.share(), self.hits.len() as f64);
        let mean = share * self.each as f64;
        let spread: f64 = self.hits.iter().map(|hits| (*hits as f64 - mean).powi(2)).sum();
        let variance = spread / (worlds - 1.0);
        let effect = if share > 0.0 { variance / (mean * (1.0 - share)) } else { 1.0 };
        let few = self.hits.iter().sum::<u64>() < TELLING;
        effect.max(if few { self.least_effect } else { 1.0 })
    }

    /// Wilson's interval, of as many independent samples as these are worth.
    pub(crate) fn interval(&self, z: f64) -> (f64, f64) {
        let (share, n) = (self.share(), self.total() as f64 / self.design_effect());
        let scale = 1.0 + z * z / n;
        let middle = (share + z * z / (2.0 * n)) / scale;
        let reach = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / scale;
        // Where nothing was seen, what remains is an error of rounding.
        let low = if share > 0.0 { (middle - reach).max(0.0) } else { 0.0 };
        (low, middle + reach)
    }
}
