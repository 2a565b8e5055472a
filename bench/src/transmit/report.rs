//! What is compared with what, and how it is told.

use std::fmt;

use super::WayName;
use crate::statistics::Estimate;

/// Two ways, and how the first should fare against the second.
pub(super) struct Ratio {
    pub(super) of: WayName,
    pub(super) to: WayName,
    /// The ratio should be at most this, with this many peers or with any number.
    target: Option<(f64, Option<usize>)>,
}

pub(super) const RATIOS: [Ratio; 5] = [
    Ratio { of: WayName::Batch, to: WayName::SystemCall, target: Some((1.03, None)) },
    Ratio { of: WayName::Batch, to: WayName::SendTo, target: Some((0.85, Some(100))) },
    Ratio { of: WayName::Publisher, to: WayName::SystemCall, target: None },
    Ratio { of: WayName::Rebuilt, to: WayName::SystemCall, target: None },
    // Of frames that are received and dropped: `scripts/bench --sink receiver`.
    Ratio { of: WayName::Xdp, to: WayName::Batch, target: Some((0.45, Some(100))) },
];

/// Everything that was measured.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Bytes of payload.
    pub payload: usize,
    /// One for each peer count.
    pub rows: Vec<Row>,
}

/// What the figures belong to.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// Cores that the process may use.
    pub cores: usize,
}

impl Machine {
    pub(super) fn this() -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            kernel: kernel.trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        }
    }
}

/// What was measured with one peer count.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// How many peers.
    pub peers: usize,
    /// Messages in one measurement.
    pub messages: usize,
    /// The median of each way, in nanoseconds.
    pub ns_per_datagram: std::collections::BTreeMap<WayName, f64>,
    /// The ways compared.
    pub ratios: Vec<Comparison>,
    /// The ways that could not be had here, and why.
    pub missing: std::collections::BTreeMap<WayName, String>,
}

/// One way against another.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Comparison {
    /// The way whose time is divided.
    pub of: WayName,
    /// The way whose time it is divided by.
    pub to: WayName,
    /// The median of the pairs' ratios.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// What it should be at most, if that is said for so many peers.
    pub target: Option<f64>,
}

impl Comparison {
    pub(super) fn new(ratio: &Ratio, peers: usize, estimate: Estimate) -> Self {
        let target = ratio.target.filter(|(_, only)| only.is_none_or(|only| only == peers));
        Self { of: ratio.of, to: ratio.to, estimate, target: target.map(|(most, _)| most) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { kernel, cores } = &self.machine;
        writeln!(f, "{} B payload, {cores} cores, Linux {kernel}\n", self.payload)?;
        writeln!(f, "ns per datagram, median")?;
        write!(f, "{:>7}", "peers")?;
        for way in WayName::ALL {
            write!(f, "  {:>11}", way.name())?;
        }
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "{:>7}", row.peers)?;
            for way in WayName::ALL {
                match row.ns_per_datagram.get(&way) {
                    Some(ns) => write!(f, "  {ns:>11.1}")?,
                    None => write!(f, "  {:>11}", "-")?,
                }
            }
            writeln!(f)?;
        }
        let missing: std::collections::BTreeSet<_> = self.rows.iter().flat_map(|row| &row.missing).collect();
        for (way, reason) in missing {
            writeln!(f, "left out: {}: {reason}", way.name())?;
        }
        writeln!(f, "\nratios, median of the pairs and 95 % interval")?;
        writeln!(
            f,
            "{:>7}  {:<23}  {:>6}  {:^15}  {:>5}  target",
            "peers", "of / to", "ratio", "interval", "pairs"
        )?;
        for row in &self.rows {
            for comparison in &row.ratios {
                writeln!(f, "{:>7}  {comparison}", row.peers)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Estimate { median, low, high, pairs } = self.estimate;
        let names = format!("{} / {}", self.of.name(), self.to.name());
        write!(f, "{names:<23}  {median:>6.3}  {low:>6.3} - {high:>6.3}  {pairs:>5}  ")?;
        match self.target {
            None => write!(f, "-"),
            Some(most) if median <= most => write!(f, "<= {most}: met"),
            Some(most) => write!(f, "<= {most}: missed"),
        }
    }
}
