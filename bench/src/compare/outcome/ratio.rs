//! What two systems come to beside each other.

use serde::{Deserialize, Serialize};

use crate::statistics::Estimate;

/// A figure of one system beside that of another, round by round: in each round both were measured, one soon after the
/// other, and what the machine did meanwhile met both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The system.
    pub system: String,
    /// The one that it is put beside.
    pub other: String,
    /// Whether that is the best of all that are nobody's variant of ours: the one whose ratio is the worst for us.
    pub best_other: bool,
    /// How many receivers.
    pub receivers: usize,
    /// Bytes of a payload.
    pub size: usize,
    /// What is compared.
    pub figure: Figure,
    /// Messages per second; none where it is the highest rate that is compared.
    pub rate: Option<f64>,
    /// The system's figure divided by the other's; none where no round has both.
    pub ratio: Option<Estimate>,
    /// The system's figure less the other's.
    pub difference: Option<Estimate>,
    /// What it is to be, if anything.
    pub target: Option<Target>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Messages delivered per second at the highest rate, all receivers together.
    DeliveredPerS,
    /// Nanoseconds until half of the messages had reached a first receiver.
    FirstP50Ns,
    /// Nanoseconds until half of the messages had reached the last receiver.
    LastP50Ns,
    /// Nanoseconds until 99 % of the messages had reached the last receiver.
    LastP99Ns,
}

/// What a ratio, or a difference, is to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Of which of the two.
    pub of: Bound,
    /// How much: times, or nanoseconds.
    pub value: f64,
    /// Whether the median is within it; where there is none, it is not.
    pub met: bool,
}

/// What a target bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The ratio is at least this.
    RatioAtLeast,
    /// The ratio is at most this.
    RatioAtMost,
    /// The difference is at most this.
    DifferenceAtMost,
}

impl Target {
    /// Whether these estimates are within it.
    #[must_use]
    pub fn is_met(of: Bound, value: f64, ratio: Option<Estimate>, difference: Option<Estimate>) -> bool {
        let (ratio, difference) = (ratio.map(|all| all.median), difference.map(|all| all.median));
        match of {
            Bound::RatioAtLeast => ratio.is_some_and(|ratio| ratio >= value),
            Bound::RatioAtMost => ratio.is_some_and(|ratio| ratio <= value),
            Bound::DifferenceAtMost => difference.is_some_and(|difference| difference <= value),
        }
    }
}
