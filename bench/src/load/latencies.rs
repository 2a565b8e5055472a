//! A histogram of times.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// Significant decimal digits of every value: what is recorded is off by 0.1 % at most.
pub const DIGITS: u8 = 3;
/// The longest time, in nanoseconds; what took longer counts as this long, and is counted beside.
pub const LONGEST_NS: u64 = 100_000_000_000;

/// Times in nanoseconds: an HdrHistogram from 1 ns to 100 s with three significant digits.
///
/// As JSON it is its [`Summary`] and, as `histogram`, the same text that a line of a histogram log holds: Base64 of the
/// compressed V2 encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies {
    histogram: Histogram<u64>,
    /// How many took longer than what the histogram holds.
    beyond: u64,
}

/// The figures that people read, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many values there are; all else is 0 if this is.
    pub count: u64,
    /// The least.
    pub min_ns: u64,
    /// The mean.
    pub mean_ns: f64,
    /// Half of them are at most this.
    pub p50_ns: u64,
    /// 90 %.
    pub p90_ns: u64,
    /// 99 %.
    pub p99_ns: u64,
    /// 99.9 %.
    pub p999_ns: u64,
    /// 99.99 %.
    pub p9999_ns: u64,
    /// The greatest.
    pub max_ns: u64,
    /// How many were longer than 100 s, and count as that.
    pub beyond: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// An empty one.
    ///
    /// # Panics
    /// Never: the bounds are valid.
    #[must_use]
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("1 < 100 s, 3 digits");
        Self { histogram, beyond: 0 }
    }

    /// Adds a time in nanoseconds.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.beyond += u64::from(ns > LONGEST_NS);
        self.histogram.saturating_record(ns);
    }

    /// Adds a time in nanoseconds that so many took.
    pub(super) fn record_many(&mut self, ns: u64, count: u64) {
        self.beyond += if ns > LONGEST_NS { count } else { 0 };
        self.histogram.saturating_record_n(ns, count);
    }

    /// Adds all of another one.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.histogram.add(&other.histogram);
        self.beyond += other.beyond;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.beyond = 0;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The time that `quantile` (0 to 1) of them took at most, in nanoseconds.
    #[must_use]
    pub fn at(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// The figures that people read.
    #[must_use]
    pub fn summary(&self) -> Summary {
        if self.count() == 0 {
            return Summary::default();
        }
        Summary {
            count: self.count(),
            min_ns: self.histogram.min(),
            mean_ns: self.histogram.mean(),
            p50_ns: self.at(0.5),
            p90_ns: self.at(0.9),
            p99_ns: self.at(0.99),
            p999_ns: self.at(0.999),
            p9999_ns: self.at(0.9999),
            max_ns: self.histogram.max(),
            beyond: self.beyond,
        }
    }

    /// For what reads or draws it.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// As a line of a histogram log holds it.
    ///
    /// # Errors
    /// When it cannot be encoded; says why.
    pub fn encoded(&self) -> Result<String, String> {
        let mut bytes = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        serializer.serialize(&self.histogram, &mut bytes).map_err(|error| format!("{error:?}"))?;
        Ok(BASE64_STANDARD.encode(bytes))
    }

    fn decoded(text: &str, beyond: u64) -> Result<Self, String> {
        let bytes = BASE64_STANDARD.decode(text).map_err(|error| format!("not Base64: {error}"))?;
        let histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| format!("not a compressed V2 histogram: {error:?}"))?;
        // Whatever bounds it has: ours are what two of them can be added with.
        let mut own = Self::new();
        own.beyond = beyond;
        for value in histogram.iter_recorded() {
            let (ns, count) = (value.value_iterated_to(), value.count_at_value());
            own.histogram.saturating_record_n(ns, count);
        }
        Ok(own)
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    summary: Summary,
    histogram: String,
}

impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let histogram = self.encoded().map_err(serde::ser::Error::custom)?;
        Stored { summary: self.summary(), histogram }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored { summary, histogram } = Stored::deserialize(deserializer)?;
        Self::decoded(&histogram, summary.beyond).map_err(serde::de::Error::custom)
    }
}

/// A time as people read it: `870 ns`, `12.3 us`, `4.56 ms`, `1.20 s`.
#[must_use]
pub fn human(ns: u64) -> String {
    let ns_f = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", three(ns_f / 1e3)),
        1_000_000..1_000_000_000 => format!("{} ms", three(ns_f / 1e6)),
        _ => format!("{} s", three(ns_f / 1e9)),
    }
}

/// With three significant digits, or more before the point.
fn three(value: f64) -> String {
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$}")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ns in [self.p50_ns, self.p90_ns, self.p99_ns, self.p999_ns, self.max_ns] {
            write!(f, "  {:>9}", human(ns))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_the_same_after_a_way_through_json() {
        let mut latencies = Latencies::new();
        for ns in [0, 1, 999, 12_345, 7_000_000, LONGEST_NS, LONGEST_NS + 1] {
            latencies.record(ns);
        }
        let json = serde_json::to_string(&latencies).expect("it can be written");
        let back: Latencies = serde_json::from_str(&json).expect("it can be read");
        assert_eq!(back.summary(), latencies.summary());
        assert_eq!((back.count(), back.summary().beyond), (7, 1));
    }

    #[test]
    fn what_is_recorded_is_off_by_a_thousandth_at_most() {
        for ns in [1_u64, 17, 1_234, 98_765, 1_234_567, 99_999_999_999] {
            let mut latencies = Latencies::new();
            latencies.record(ns);
            assert!(latencies.at(0.5).abs_diff(ns) <= ns / 1_000, "{ns}: {}", latencies.at(0.5));
        }
    }

    #[test]
    fn text_that_is_no_histogram_is_an_error() {
        for text in ["", "!", "AAAA"] {
            let json = serde_json::json!({ "count": 0, "min_ns": 0, "mean_ns": 0.0, "p50_ns": 0, "p90_ns": 0,
                "p99_ns": 0, "p999_ns": 0, "p9999_ns": 0, "max_ns": 0, "beyond": 0, "histogram": text });
            assert!(serde_json::from_value::<Latencies>(json).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_have_three_digits() {
        let cases =
            [(0, "0 ns"), (999, "999 ns"), (1_000, "1.00 us"), (12_345, "12.3 us"), (999_960, "1000 us")];
        for (ns, text) in cases {
            assert_eq!(human(ns), text);
        }
    }
}
