//! What the recorder costs beside the bare database, and how long a responder waits for its acknowledgement.
//!
//! Throughput goes in turns, A B, B A...: the whole recorder, which receives responses by UDP on loopback, and
//! a loop that inserts the same rows from memory in transactions as large as the recorder's were. Both have
//! the same tables, indexes and settings, and an empty database each time.

mod bare;
mod load;

use std::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use headcast_recorder::{
    Database, Durability, Options as StoreOptions, RecordError, Recorder, RecorderCounters, State, Store,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::now;
use crate::statistics::{Estimate, median, paired_ratio};
use bare::Bare;
use load::Load;

/// What the ratio should be at least.
const TARGET: f64 = 0.8;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The database: sqlite:PATH, whose file is made anew each time, or postgres://…, whose tables are emptied [default:
    /// SQLite in a temporary directory].
    #[arg(long, value_name = "URL")]
    pub database: Option<Database>,
    /// Wait for the disk at each commit (power), or not (process).
    #[arg(long, value_name = "power|process", value_parser = durability, default_value = "power")]
    pub durability: Durability,
    /// Rows of one measurement.
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::builder::RangedU64ValueParser::<u64>::new().range(1..=10_000_000))]
    pub rows: u64,
    /// Bytes of a result.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=60_000))]
    pub result: usize,
    /// How many responders send them.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::builder::RangedU64ValueParser::<u64>::new().range(1..=1000))]
    pub responders: u64,
    /// Pairs for the ratio.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub pairs: usize,
    /// Responses per second at which to measure latency, separated by commas.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1_000, 20_000])]
    pub rates: Vec<u64>,
    /// Seconds for each rate, and one more at first that does not count; 0 for none.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub seconds: u64,
    /// Where the bootstrap's chance starts.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "power" => Ok(Durability::Power),
        "process" => Ok(Durability::Process),
        _ => Err("right would be power or process".into()),
    }
}

/// Everything that was measured.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Which database.
    pub database: String,
    /// What a commit survives.
    pub durability: String,
    /// Rows per second of the recorder / of the bare loop.
    pub ratio: Estimate,
    /// Rows per second of the recorder: the median.
    pub recorder_rate: f64,
    /// Rows per second of the bare loop: the median.
    pub bare_rate: f64,
    /// Rows in a transaction, on average.
    pub rows_per_commit: f64,
    /// From the intended time of sending to the acknowledgement.
    pub latencies: Vec<Latency>,
}

/// How long acknowledgements take at a rate.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Latency {
    /// Responses per second.
    pub rate: u64,
    /// Responses measured.
    pub responses: u64,
    /// Half are acknowledged within this, in microseconds.
    pub p50_us: u64,
    /// 99 % are.
    pub p99_us: u64,
    /// All are.
    pub max_us: u64,
    /// Rows in a transaction, on average.
    pub rows_per_commit: f64,
    /// Responses that had to be sent again.
    pub again: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, durability, ratio, recorder_rate, bare_rate, rows_per_commit, latencies } = self;
        let Estimate { median, low, high, pairs } = ratio;
        let verdict = if *median >= TARGET { "met" } else { "missed" };
        writeln!(f, "{database}, durability {durability}, {rows_per_commit:.0} rows a commit")?;
        writeln!(f, "recorder {recorder_rate:.0} rows/s, bare loop {bare_rate:.0} rows/s")?;
        writeln!(
            f,
            "recorder / bare loop  {median:>6.3}  {low:>6.3} - {high:>6.3}  {pairs:>4} pairs  >= {TARGET}: {verdict}"
        )?;
        for Latency { rate, responses, p50_us, p99_us, max_us, rows_per_commit, again } in latencies {
            writeln!(
                f,
                "acknowledged at {rate:>6}/s: p50 {p50_us} us, p99 {p99_us} us, all {max_us} us ({responses} responses, {rows_per_commit:.1} rows a commit, {again} sent again)"
            )?;
        }
        Ok(())
    }
}

/// Measures all of it.
///
/// # Errors
/// When the database or a socket cannot be had.
pub fn run(options: &Options) -> Result<Report, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let database = match &options.database {
        Some(database) => database.clone(),
        None => format!("sqlite:{}", directory.path().join("responses.db").display()).parse()?,
    };
    let bench = Bench { options, database };
    let progress = ProgressBar::new(options.pairs as u64).with_style(
        ProgressStyle::with_template("[{bar:30}] {pos}/{len} pairs, {eta} left").expect("a valid template"),
    );
    // Nothing is measured cold; and it says how large transactions are.
    let (_, mut commits) = bench.recorder()?;
    let (mut pairs, mut sizes) = (Vec::new(), Vec::new());
    for turn in 0..options.pairs {
        let mut rates = [0.0; 2];
        for half in 0..2 {
            if (half + turn) % 2 == 0 {
                (rates[0], commits) = bench.recorder()?;
                sizes.push(options.rows as f64 / commits.max(1) as f64);
            } else {
                rates[1] = bench.bare(commits)?;
            }
        }
        pairs.push((rates[0], rates[1]));
        progress.inc(1);
    }
    progress.finish_and_clear();
    let latencies = options.rates.iter().map(|rate| bench.latency(*rate)).collect::<Result<_, _>>()?;
    let [recorder, bare]: [Vec<f64>; 2] =
        [pairs.iter().map(|pair| pair.0).collect(), pairs.iter().map(|pair| pair.1).collect()];
    let none = "there are no pairs";
    Ok(Report {
        database: bench.database.to_string(),
        durability: format!("{:?}", options.durability).to_lowercase(),
        ratio: paired_ratio(&pairs, options.seed).ok_or(none)?,
        recorder_rate: median(&recorder).ok_or(none)?,
        bare_rate: median(&bare).ok_or(none)?,
        rows_per_commit: median(&sizes).ok_or(none)?,
        latencies,
    })
}

struct Bench<'a> {
    options: &'a Options,
    database: Database,
}

impl Bench<'_> {
    /// Rows per second through the whole recorder, and how many transactions it made.
    fn recorder(&self) -> Result<(f64, u64), Box<dyn Error>> {
        let recorder = self.start()?;
        let mut load = Load::new(recorder.address, self.options.responders, self.options.result)?;
        let start = now();
        load.flood(self.options.rows)?;
        let rate = self.options.rows as f64 / start.elapsed().as_secs_f64();
        let counters = recorder.stop()?;
        let stored = counters.rows.get();
        if stored != self.options.rows {
            return Err(format!("{stored} rows were stored, not {}", self.options.rows).into());
        }
        Ok((rate, counters.commits.get()))
    }

    /// Rows per second of the bare loop.
    fn bare(&self, commits: u64) -> Result<f64, Box<dyn Error>> {
        self.empty()?;
        let mut bare = Bare::open(&self.database, self.options.durability)?;
        // The same rows, in memory: each has a result of its own there, as responses have.
        let results = vec![0x5a; self.options.result * usize::try_from(self.options.rows)?];
        let start = now();
        // As many transactions as the recorder made, and as even as can be.
        let commits = commits.clamp(1, self.options.rows);
        for commit in 0..commits {
            let at = |commit| self.options.rows * commit / commits;
            bare.insert(at(commit)..at(commit + 1), &results, self.options.result)?;
        }
        Ok(self.options.rows as f64 / start.elapsed().as_secs_f64())
    }

    fn latency(&self, rate: u64) -> Result<Latency, Box<dyn Error>> {
        let recorder = self.start()?;
        let mut load = Load::new(recorder.address, self.options.responders, self.options.result)?;
        let mut histogram = Histogram::<u64>::new(3)?;
        load.pace(rate, 1, &mut Histogram::new(3)?)?;
        let before = (recorder.counters.rows.get(), recorder.counters.commits.get());
        let again = load.again();
        load.pace(rate, self.options.seconds, &mut histogram)?;
        let counters = recorder.stop()?;
        let commits = (counters.commits.get() - before.1).max(1);
        Ok(Latency {
            rate,
            responses: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5) / 1000,
            p99_us: histogram.value_at_quantile(0.99) / 1000,
            max_us: histogram.max() / 1000,
            rows_per_commit: (counters.rows.get() - before.0) as f64 / commits as f64,
            again: load.again() - again,
        })
    }

    /// An empty database, with its tables.
    fn empty(&self) -> Result<(), Box<dyn Error>> {
        if let Database::Sqlite(path) = &self.database {
            for suffix in ["", "-wal", "-shm"] {
                let mut file = path.clone().into_os_string();
                file.push(suffix);
                match std::fs::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        let options = StoreOptions { keep_all: false, durability: self.options.durability };
        Store::open(&self.database, options)?.ok_or("another recorder has this database")?;
        bare::truncate(&self.database)
    }

    fn start(&self) -> Result<Running, Box<dyn Error>> {
        self.empty()?;
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let mut recorder = Recorder::builder(self.database.clone())
            .listen(listen)
            .durability(self.options.durability)
            .build()?;
        let address = recorder.local_addr().ok_or("the recorder does not listen")?;
        let (counters, stopper) = (Arc::clone(recorder.counters()), recorder.stopper());
        let state = recorder.watch();
        let thread = std::thread::spawn(move || recorder.run());
        // The bare loop has opened its database, too, before it is measured.
        while state() != State::Ready {
            if thread.is_finished() {
                return Err(thread
                    .join()
                    .map_err(|_| "the recorder panicked")?
                    .err()
                    .map_or("it ended".into(), Into::into));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Running { address, counters, stopper, thread })
    }
}

/// A recorder on threads of its own.
struct Running {
    address: SocketAddr,
    counters: Arc<RecorderCounters>,
    stopper: headcast_recorder::Stopper,
    thread: JoinHandle<Result<(), RecordError>>,
}

impl Running {
    fn stop(self) -> Result<Arc<RecorderCounters>, Box<dyn Error>> {
        self.stopper.stop();
        self.thread.join().map_err(|_| "the recorder panicked")??;
        Ok(self.counters)
    }
}
