//! Latencies second by second, as a histogram log.

use std::fmt::Write;
use std::time::Duration;

use crate::load::outcome::Interval;

/// Nanoseconds in the unit of the column that people read: a millisecond, as `HistogramLogWriter` has by default. The
/// histograms themselves are in nanoseconds.
const NS_PER_UNIT: f64 = 1e6;

/// A log of format 1.3, as HdrHistogram's `HistogramLogWriter` writes it and `HistogramLogReader` reads it.
///
/// `start_ns` is when the first message was due, by a clock that was 0 at `boot` after 1970; times of intervals count
/// from there.
pub(super) fn text(series: &[Interval], start_ns: u64, boot: Duration) -> String {
    let start_s = boot.as_secs_f64() + start_ns as f64 / 1e9;
    let mut text = String::from("#[Histogram log format version 1.3]\n");
    let _ = writeln!(text, "#[StartTime: {start_s:.3} (seconds since epoch)]");
    let _ = writeln!(text, "#[BaseTime: {start_s:.3} (seconds since epoch)]");
    text.push_str("#[MaxValueDivisor: 1000000.000]\n");
    text.push_str(r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#);
    text.push('\n');
    // What could not be encoded has no line.
    for interval in series.iter().filter(|interval| !interval.histogram.is_empty()) {
        // Receivers look at the clock when they begin, which is before the first message was due.
        let begins_s = interval.at_s - start_ns as f64 / 1e9;
        let (at_s, end_s) = (begins_s.max(0.0), (begins_s + interval.length_s).max(0.0));
        let max = interval.latency.max_ns as f64 / NS_PER_UNIT;
        let _ = writeln!(text, "{at_s:.3},{:.3},{max:.3},{}", end_s - at_s, interval.histogram);
    }
    text
}
