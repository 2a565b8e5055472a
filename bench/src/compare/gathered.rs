//! What trials came to so far, and what follows from it.

use std::collections::BTreeMap;

use super::options::Options;
use super::outcome::{AtRate, Cost, Quantiles, Range, Ratio, Row, System, Throughput};
use super::ratios;
use super::search::Knee;
use super::trial::Trial;
use crate::load::Latencies;
use crate::load::latencies::Summary;
use crate::load::ledger::Account;

/// All trials.
pub(super) struct Gathered {
    cells: Vec<Cell>,
}

/// One system with one number of receivers and one size.
pub(super) struct Cell {
    pub(super) system: String,
    pub(super) receivers: usize,
    pub(super) size: usize,
    /// Trials at each of the fixed rates.
    pub(super) rates: Vec<Fixed>,
    pub(super) knees: Vec<Found>,
    /// What it costs at the lowest rate.
    pub(super) low: Vec<Sample>,
    /// And under load: at the [`busy_rate`](Cell::busy_rate).
    pub(super) high: Vec<Sample>,
    pub(super) errors: Vec<String>,
}

/// What the search of a round has found.
pub(super) struct Found {
    pub(super) round: usize,
    pub(super) knee: Knee,
}

/// Trials at a fixed rate. Histograms are large: only their sums are kept, and of each trial the figures that are told.
pub(super) struct Fixed {
    pub(super) rate: f64,
    points: Vec<Point>,
    /// Of trials that sustained the rate.
    sustained: Option<Box<Histograms>>,
    /// Of the others.
    overloaded: Option<Box<Histograms>>,
}

/// One receiver, and the last one.
#[derive(Clone, Default)]
struct Histograms {
    one: Latencies,
    last: Latencies,
}

/// What is kept of a trial at a fixed rate.
struct Point {
    round: usize,
    sustained: bool,
    sent: u64,
    total: Account,
    first: Summary,
    one: Summary,
    last: Summary,
    complaints: Vec<String>,
}

/// What is kept of a trial for what messages cost.
pub(super) struct Sample {
    rate: f64,
    delivered: u64,
    cpu_s: f64,
    wire_bytes: Option<u64>,
    calls: Option<u64>,
}

impl From<Trial> for Sample {
    fn from(trial: Trial) -> Self {
        let delivered = trial.delivered();
        let Trial { rate, cpu_s, wire_bytes, calls, .. } = trial;
        Self { rate, delivered, cpu_s, wire_bytes, calls }
    }
}

impl Fixed {
    fn new(rate: f64) -> Self {
        Self { rate, points: Vec::new(), sustained: None, overloaded: None }
    }

    /// The trial of a round.
    pub(super) fn add(&mut self, round: usize, trial: Trial) {
        let sustained = trial.is_sustained();
        let Trial { sent, received, complaints, .. } = trial;
        let histograms = if sustained { &mut self.sustained } else { &mut self.overloaded };
        histograms.get_or_insert_default().add(&received.latency, &received.last);
        let [first, one, last] = [&received.first, &received.latency, &received.last].map(Latencies::summary);
        let (sent, total) = (sent.sent, received.total);
        self.points.push(Point { round, sustained, sent, total, first, one, last, complaints });
    }

    /// Those of rounds in which the rate was sustained, in nanoseconds, by round: half of the messages at the first and at
    /// the last receiver, and 99 % at the last.
    pub(super) fn sustained(&self) -> impl Iterator<Item = (usize, [f64; 3])> {
        let sustained = self.points.iter().filter(|point| point.sustained);
        sustained.map(|Point { round, first, last, .. }| {
            (*round, [first.p50_ns, last.p50_ns, last.p99_ns].map(|ns| ns as f64))
        })
    }

    fn told(&self) -> Option<AtRate> {
        let points = &self.points;
        let sustained_trials = points.iter().filter(|point| point.sustained).count();
        let sustained = 2 * sustained_trials > points.len();
        let of: Vec<&Point> = points.iter().filter(|point| point.sustained || !sustained).collect();
        let mut histograms = Histograms::default();
        let others = self.overloaded.as_deref().filter(|_| !sustained);
        for some in self.sustained.as_deref().into_iter().chain(others) {
            histograms.add(&some.one, &some.last);
        }
        let sum = |count: fn(&Point) -> u64| points.iter().map(count).sum();
        (!points.is_empty()).then(|| AtRate {
            rate: self.rate,
            trials: points.len(),
            sustained_trials,
            sustained,
            sent: sum(|point| point.sent),
            received: sum(|point| point.total.received),
            lost: sum(|point| point.total.lost),
            duplicates: sum(|point| point.total.duplicates),
            first: quantiles(&of, |point| &point.first),
            one: quantiles(&of, |point| &point.one),
            last: quantiles(&of, |point| &point.last),
            one_all: histograms.one,
            last_all: histograms.last,
            complaints: complaints(points),
        })
    }
}

impl Histograms {
    fn add(&mut self, one: &Latencies, last: &Latencies) {
        self.one.add(one);
        self.last.add(last);
    }
}

impl Gathered {
    /// Nothing yet.
    pub(super) fn new(options: &Options, systems: &[System]) -> Self {
        let mut cells = Vec::new();
        for &size in &options.sizes {
            for &receivers in &options.receivers {
                cells.extend(systems.iter().map(|system| Cell {
                    system: system.name.clone(),
                    receivers,
                    size,
                    rates: options.rates.iter().map(|rate| Fixed::new(*rate)).collect(),
                    knees: Vec::new(),
                    low: Vec::new(),
                    high: Vec::new(),
                    errors: Vec::new(),
                }));
            }
        }
        Self { cells }
    }

    /// Those of one number of receivers and one size after the other, in the order of the systems.
    pub(super) fn cases(&mut self) -> impl Iterator<Item = &mut [Cell]> {
        self.cells.chunk_by_mut(|one, other| (one.receivers, one.size) == (other.receivers, other.size))
    }

    /// Systems beside each other, as far as all trials tell.
    pub(super) fn ratios(&self, options: &Options) -> Vec<Ratio> {
        let (pairs, rates) = (options.pairs(), &options.rates);
        let cases =
            self.cells.chunk_by(|one, other| (one.receivers, one.size) == (other.receivers, other.size));
        cases.flat_map(|cells| ratios::of(cells, &pairs, rates)).collect()
    }

    /// What follows from all trials.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.cells.iter().map(Cell::row).collect()
    }
}

impl Cell {
    /// The rate at which systems are compared by what a message costs when they have much to do: 0.8 of the highest rate that
    /// the first search has found.
    pub(super) fn busy_rate(&self) -> Option<f64> {
        // A little below what it sustains, so that costs are of messages that arrive.
        self.knees.first().map(|found| 0.8 * found.knee.rate)
    }

    fn row(&self) -> Row {
        Row {
            system: self.system.clone(),
            receivers: self.receivers,
            size: self.size,
            latency: self.rates.iter().filter_map(Fixed::told).collect(),
            throughput: throughput(&self.knees),
            low: cost(&self.low, self.size),
            knee: cost(&self.high, self.size),
            errors: self.errors.clone(),
        }
    }
}

fn quantiles(points: &[&Point], of: fn(&Point) -> &Summary) -> Quantiles {
    let range = |quantile: fn(&Summary) -> u64| {
        let summaries = points.iter().map(|point| of(point)).filter(|summary| summary.count > 0);
        Range::of(&summaries.map(|summary| quantile(summary) as f64).collect::<Vec<_>>()).unwrap_or_default()
    };
    Quantiles {
        p50_ns: range(|summary| summary.p50_ns),
        p99_ns: range(|summary| summary.p99_ns),
        p999_ns: range(|summary| summary.p999_ns),
    }
}

/// Each with how many trials it was said of; complaints that differ in their figures only are one.
fn complaints(trials: &[Point]) -> Vec<String> {
    let mut kinds: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for complaint in trials.iter().flat_map(|trial| &trial.complaints) {
        let kind: String = complaint.chars().filter(|letter| !letter.is_ascii_digit()).take(30).collect();
        kinds.entry(kind).or_insert_with(|| (complaint.clone(), 0)).1 += 1;
    }
    let all = kinds.into_values();
    all.map(|(complaint, count)| format!("{complaint} ({count} of {} trials)", trials.len())).collect()
}

fn throughput(found: &[Found]) -> Option<Throughput> {
    let knees = || found.iter().map(|found| &found.knee);
    let figures = |of: fn(&Knee) -> f64| Range::of(&knees().map(of).collect::<Vec<_>>());
    Some(Throughput {
        delivered_per_s: figures(|knee| knee.delivered_per_s)?,
        sent_per_s: figures(|knee| knee.rate)?,
        searches: found.len(),
        at_limit: knees().any(|knee| knee.at_limit),
    })
}

/// Where nothing was delivered, there is no cost of a delivery.
fn cost(samples: &[Sample], size: usize) -> Option<Cost> {
    let samples = samples.iter().filter(|sample| sample.delivered > 0);
    // What counts system calls slows them down: no other figure is of those trials.
    let (counted, timed): (Vec<&Sample>, Vec<&Sample>) = samples.partition(|sample| sample.calls.is_some());
    let each = |sample: &Sample, count: f64| count / sample.delivered as f64;
    let cpu: Vec<f64> = timed.iter().map(|sample| each(sample, sample.cpu_s * 1e6)).collect();
    let payload = |sample: &Sample| Some(each(sample, sample.wire_bytes? as f64) / size as f64);
    let wire: Vec<f64> = timed.iter().filter_map(|sample| payload(sample)).collect();
    let calls: Vec<f64> =
        counted.iter().filter_map(|sample| Some(each(sample, sample.calls? as f64))).collect();
    Some(Cost {
        rate: timed.last()?.rate,
        cpu_s_per_million: Range::of(&cpu)?,
        calls_per_delivery: Range::of(&calls).map(|range| range.median),
        wire_per_payload: Range::of(&wire),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Books, Expected, Paced, Stamp};

    /// A trial of 100 messages/s for a second to one receiver, of which some never come.
    fn trial(lost: u64, calls: Option<u64>) -> Trial {
        let mut books = Books::new(1, Expected { run: 1, messages: 100, warm_up: 0 });
        for seq in lost..100 {
            let mut payload = [0; 24];
            Stamp { run: 1, seq, due_ns: headcast::clock::mono_ns() }.write(&mut payload);
            books.take(0, &payload);
        }
        Trial {
            rate: 100.0,
            duration_s: 1.0,
            sent: Paced {
                start_ns: headcast::clock::mono_ns(),
                sent: 100,
                took_ns: 1_000_000_000,
                ..Paced::default()
            },
            received: books.settle(100, &[], BTreeMap::new()),
            complaints: vec![format!("{lost} were lost")],
            cpu_s: 0.001,
            wire_bytes: Some(100 * 256),
            calls,
        }
    }

    #[test]
    fn most_trials_decide_whether_a_rate_is_sustained() {
        let mut fixed = Fixed::new(100.0);
        assert!(fixed.told().is_none());
        for (round, lost) in [0, 0, 40].into_iter().enumerate() {
            fixed.add(round, trial(lost, None));
        }
        let told = fixed.told().expect("figures");
        assert_eq!((told.trials, told.sustained_trials, told.sustained), (3, 2, true));
        assert_eq!((told.sent, told.received, told.lost), (300, 260, 40));
        assert_eq!((told.one_all.count(), told.last_all.count()), (200, 200), "of those that sustained it");
        assert_eq!(fixed.sustained().map(|(round, _)| round).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(told.complaints, ["0 were lost (3 of 3 trials)"]);
        fixed.add(3, trial(1, None));
        let told = fixed.told().expect("figures");
        assert!(!told.sustained, "half of them are not most");
        assert_eq!(told.one_all.count(), 359, "of all");
    }

    #[test]
    fn a_cost_is_that_of_a_delivery() {
        assert_eq!(cost(&[], 128), None);
        let samples = [trial(0, None), trial(50, None), trial(0, Some(700))].map(Sample::from);
        let cost = cost(&samples, 128).expect("a cost");
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 1e-9;
        assert!(near(cost.cpu_s_per_million.min, 10.0) && near(cost.cpu_s_per_million.max, 20.0), "{cost:?}");
        assert!(
            cost.wire_per_payload.is_some_and(|wire| near(wire.min, 2.0) && near(wire.max, 4.0)),
            "{cost:?}"
        );
        assert!(cost.calls_per_delivery.is_some_and(|calls| near(calls, 7.0)), "{cost:?}");
    }
}
