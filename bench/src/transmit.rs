//! What a datagram costs on six ways into the kernel.
//!
//! All ways send the same datagram to the same peers, in one process and in turns: A B, B A, A B... so
//! that whatever else the machine does meets both. Two ways are compared by the ratios of such pairs.

mod frames;
mod report;
mod ways;

use std::error::Error;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

pub use report::{Comparison, Machine, Report, Row};
pub use ways::WayName;

use crate::clock::now;
use crate::peers::following;
use crate::statistics::{median, paired_ratio};
use ways::Ways;

/// Messages that warm the publisher up between two looks at the clock.
const WARM_UP: usize = 32;
/// Its warm-up is over after so many times the length of a measurement.
const WARM_UP_MAX: u32 = 50;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The first peer; the others are the addresses after it, all with its port.
    ///
    /// Real datagrams go there, millions of them: name addresses behind a device that drops.
    #[arg(long, value_name = "IP:PORT")]
    pub to: SocketAddrV4,
    /// Peer counts to measure, separated by commas.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 10, 100, 1000],
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    pub peers: Vec<usize>,
    /// Bytes of payload. Every way sends 40 bytes more, the header.
    #[arg(long, value_name = "BYTES", default_value_t = 128,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1352))]
    pub payload: usize,
    /// Pairs for each ratio.
    #[arg(long, value_name = "N", default_value_t = 40,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub pairs: usize,
    /// How long the quickest way is kept busy in one measurement, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub each: u64,
    /// Stop measuring after this many seconds, with as many pairs as there are by then.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub limit: u64,
    /// Where the bootstrap's chance starts.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// 2 short pairs for each ratio: shows that it works, measures nothing.
    #[arg(long, conflicts_with_all = ["pairs", "each"])]
    pub quick: bool,
}

impl Options {
    fn pairs(&self) -> usize {
        if self.quick { 2 } else { self.pairs }
    }

    fn each(&self) -> Duration {
        Duration::from_millis(if self.quick { 1 } else { self.each })
    }
}

/// Measures all ways with all peer counts.
///
/// # Errors
/// When the peers cannot be had, the publisher cannot be built, or a way does not send everything at once.
pub fn run(options: &Options) -> Result<Report, Box<dyn Error>> {
    let deadline = now() + Duration::from_secs(options.limit);
    let steps = options.peers.len() * report::RATIOS.len() * options.pairs();
    // Drawn on a terminal only.
    let progress = ProgressBar::new(steps as u64).with_style(
        ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} pairs, {eta} left")
            .expect("a valid template"),
    );
    let mut rows = Vec::with_capacity(options.peers.len());
    for &count in &options.peers {
        progress.set_message(format!("{count} peers"));
        rows.push(row(options, count, deadline, &progress)?);
    }
    progress.finish_and_clear();
    Ok(Report { machine: Machine::this(), payload: options.payload, rows })
}

/// Measures all ways with one peer count.
fn row(
    options: &Options,
    count: usize,
    deadline: Instant,
    progress: &ProgressBar,
) -> Result<Row, Box<dyn Error>> {
    let peers = following(options.to, count)
        .ok_or_else(|| format!("there are no {count} addresses from {} on", options.to.ip()))?;
    let mut ways = Ways::open(&peers, options.payload)?;
    let messages = calibrate(&mut ways, options.each())?;
    let mut times = Times::default();
    let mut pairs = report::RATIOS.map(|_| Vec::with_capacity(options.pairs()));
    for turn in 0..options.pairs() {
        for (ratio, pairs) in report::RATIOS.iter().zip(&mut pairs) {
            // The first pair of each is measured however late it is: a report has every ratio.
            if (turn > 0 && now() >= deadline) || ways.lacks(ratio.of) || ways.lacks(ratio.to) {
                continue;
            }
            pairs.push(times.pair(&mut ways, ratio.of, ratio.to, turn % 2 == 1, messages)?);
            progress.inc(1);
        }
    }
    let datagrams = messages as f64 * count as f64;
    let comparisons = report::RATIOS.iter().zip(&pairs).filter_map(|(ratio, pairs)| {
        let estimate = paired_ratio(pairs, options.seed)?;
        Some(Comparison::new(ratio, count, estimate))
    });
    Ok(Row {
        peers: count,
        messages,
        ns_per_datagram: times.medians().map(|(way, seconds)| (way, seconds * 1e9 / datagrams)).collect(),
        ratios: comparisons.collect(),
        missing: ways.missing().map(|(way, reason)| (way, reason.to_owned())).into_iter().collect(),
    })
}

/// How many messages keep the system call alone busy for `each`.
fn calibrate(ways: &mut Ways, each: Duration) -> Result<usize, Box<dyn Error>> {
    // Each way once, so that nothing is measured cold, and the publisher's ring once around: its first lap
    // meets memory that was never touched. That takes long with many peers, but then tells little.
    for way in WayName::ALL {
        if !ways.lacks(way) {
            ways.send(way, 2)?;
        }
    }
    let start = now();
    for _ in 0..headcast::limits::RING_DEFAULT / WARM_UP {
        if start.elapsed() > each * WARM_UP_MAX {
            break;
        }
        ways.send(WayName::Publisher, WARM_UP)?;
    }
    let mut messages = 1;
    while messages < 1 << 24 {
        let start = now();
        ways.send(WayName::SystemCall, messages)?;
        let took = start.elapsed();
        if took >= each / 2 {
            let scale = each.as_secs_f64() / took.as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 2^25, positive"
            )]
            return Ok((messages as f64 * scale).ceil() as usize);
        }
        messages *= 2;
    }
    Ok(messages)
}

/// Every measured time, by way, in seconds.
#[derive(Default)]
struct Times([Vec<f64>; WayName::ALL.len()]);

impl Times {
    /// Times both ways, back to back; `swapped` measures the second one first.
    fn pair(
        &mut self,
        ways: &mut Ways,
        of: WayName,
        to: WayName,
        swapped: bool,
        messages: usize,
    ) -> Result<(f64, f64), Box<dyn Error>> {
        if swapped {
            let to = self.time(ways, to, messages)?;
            Ok((self.time(ways, of, messages)?, to))
        } else {
            Ok((self.time(ways, of, messages)?, self.time(ways, to, messages)?))
        }
    }

    fn time(&mut self, ways: &mut Ways, way: WayName, messages: usize) -> Result<f64, Box<dyn Error>> {
        let start = now();
        ways.send(way, messages)?;
        let seconds = start.elapsed().as_secs_f64();
        self.0[way as usize].push(seconds);
        Ok(seconds)
    }

    fn medians(&self) -> impl Iterator<Item = (WayName, f64)> {
        WayName::ALL.into_iter().zip(&self.0).filter_map(|(way, times)| Some((way, median(times)?)))
    }
}
