//! Percentiles as text, as HdrHistogram's tools print and read them.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Steps between a percentile and half the way from it to 100 %, as the tools have by default.
const TICKS: u32 = 5;
/// Nanoseconds in the unit that is printed: a microsecond.
const NS_PER_UNIT: f64 = 1e3;
/// Values that a bucket tells apart with three significant digits: 2 x 10^3, rounded up to a power of two.
const SUB_BUCKETS: u32 = 2_048;

/// The distribution in microseconds, as `outputPercentileDistribution(out, 5, 1000.0)` of HdrHistogram
/// (`AbstractHistogram.java`) prints it.
pub(super) fn text(histogram: &Histogram<u64>) -> String {
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    // Nothing is recorded: no row, as there.
    let rows = (!histogram.is_empty()).then(|| histogram.iter_quantiles(TICKS));
    let mut total = 0;
    for row in rows.into_iter().flatten() {
        total += row.count_since_last_iteration();
        let (value, quantile) = (row.value_iterated_to() as f64 / NS_PER_UNIT, row.quantile_iterated_to());
        let _ = write!(text, "{value:12.3} {quantile:2.12} {total:10}");
        let _ =
            if quantile < 1.0 { writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile)) } else { writeln!(text) };
    }
    let (mean, deviation) = (histogram.mean() / NS_PER_UNIT, histogram.stdev() / NS_PER_UNIT);
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let (max, count) = (histogram.max() as f64 / NS_PER_UNIT, histogram.len());
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    let _ = writeln!(text, "#[Buckets = {:12}, SubBuckets     = {SUB_BUCKETS:12}]", histogram.buckets());
    text
}
