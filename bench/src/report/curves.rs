//! Latencies as lines.

use super::chart::{Chart, Line, Svg};
use super::scale::Scale;
use crate::load::Latencies;

/// Steps between a percentile and half the way from it to 100 %: enough to look smooth.
const TICKS: u32 = 10;
/// What is marked, as `1 / (1 - quantile)`: 50 %, 90 %, 99 %...
const MARKS: [f64; 7] = [2.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6];

/// A name, which of the colours, and the latencies.
pub(super) type Named<'a> = (&'a str, usize, &'a Latencies);

/// Percentiles of each, over the axis of HdrHistogram's plots; nothing when there are none.
pub(super) fn percentiles(all: &[Named<'_>]) -> Option<Svg> {
    let lines: Vec<Line> = all.iter().filter(|(.., latencies)| latencies.count() > 0).map(line).collect();
    if lines.is_empty() {
        return None;
    }
    let chart = Chart {
        x: ("percentile", Scale::Percentiles),
        y: ("latency", Scale::Times),
        lines,
        rules: Vec::new(),
    };
    Some(chart.svg())
}

fn line((name, style, latencies): &Named<'_>) -> Line {
    let count = latencies.count() as f64;
    let mut points = Vec::new();
    for step in latencies.histogram().iter_quantiles(TICKS) {
        // Beyond the part that the greatest of them is, there is none.
        let x = (1.0 / (1.0 - step.quantile_iterated_to())).min(count.max(1.0));
        points.push((x, step.value_iterated_to() as f64));
    }
    let marks = MARKS.into_iter().filter(|mark| *mark <= count);
    let marks = marks.map(|mark| (mark, latencies.at(1.0 - 1.0 / mark) as f64)).collect();
    Line { name: (*name).to_owned(), style: *style, points, marks }
}
