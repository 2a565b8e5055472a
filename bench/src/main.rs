//! `headcast-bench`: see [`headcast_bench`].

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use headcast_bench::{
    Usage, compare, instructions, memory, receptions, record, repairs, report, run, sweep, transmit,
};

/// Loads a service, and measures Headcast.
///
/// docs/load.md tells what the figures of run and sweep mean, docs/benchmarks.md those of the others, docs/results.md
/// what is in the files. The single steps are timed by
/// `cargo bench -p headcast-bench --bench micro`.
#[derive(Parser)]
#[command(version, subcommand_required = true, arg_required_else_help = true)]
enum Command {
    /// Load at a fixed rate: an open loop on an absolute schedule, with latencies from when each message was due.
    #[command(after_help = "Examples:\n  \
        headcast-bench run --rate 10000 --receivers 100 --output results\n  \
        headcast-bench run --to headless-udp.demo.svc.cluster.local:12000 --rate 500 --raw\n\n\
        Exit codes: 0 measured, 1 failed, or measured and not valid, 2 wrong usage.")]
    Run {
        #[command(flatten)]
        options: run::Options,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Load that rises until something gives: the rate, the deliveries or the latency.
    #[command(
        after_help = "Example:\n  headcast-bench sweep --receiver-counts 8,100 --sizes 128,1024 --output results"
    )]
    Sweep {
        #[command(flatten)]
        options: sweep::Options,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Headcast beside other systems: latencies at fixed rates, the highest rate, and what a message costs.
    ///
    /// Start it by scripts/compare, which installs and builds the others and gives them a network of their own. Those that
    /// are not there are named with the reason.
    #[command(
        after_help = "Examples:\n  sudo scripts/compare\n  headcast-bench compare --systems headcast,redis --quick"
    )]
    Compare {
        #[command(flatten)]
        options: compare::Options,
        /// Print JSON instead of a table.
        #[arg(long, conflicts_with = "markdown")]
        json: bool,
    },
    /// A page of the results in a directory, or of two runs beside each other; prints where it is.
    #[command(
        after_help = "Examples:\n  headcast-bench report results\n  headcast-bench report before after --html page.html"
    )]
    Report(report::Options),
    /// One side of a trial of `compare`, as a process of its own.
    #[command(hide = true)]
    Part {
        #[command(subcommand)]
        part: compare::Part,
    },
    /// Cost of a datagram: send_to, sendmmsg, the prepared batch, the bare system call, the publisher.
    ///
    /// Start it by scripts/bench, which makes a network whose only device drops everything. The ways
    /// take turns in pairs; a ratio is the median over the pairs, with its 95 % bootstrap interval.
    #[command(after_help = "Example, as root:\n  scripts/bench --peers 100 --pairs 60 --json")]
    Transmit {
        #[command(flatten)]
        options: transmit::Options,
        /// Print JSON instead of tables.
        #[arg(long)]
        json: bool,
    },
    /// Bytes that a peer takes: in a batch, in the set that is handed over, in a whole publisher.
    #[command(after_help = "Example:\n  headcast-bench memory --peers 1000,100000")]
    Memory {
        /// Peer counts to measure, separated by commas.
        #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1_000, 100_000],
              value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=100_000))]
        peers: Vec<usize>,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Rate of first copies while subscribers lose datagrams and ask for them, and while one asks all the time.
    #[command(after_help = "Example:\n  headcast-bench repairs --peers 100 --loss 1")]
    Repairs {
        #[command(flatten)]
        options: repairs::Options,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Rows per second of the recorder beside a bare loop that inserts the same, and how long acknowledgements take.
    #[command(after_help = "Example:\n  headcast-bench record --durability process --pairs 10")]
    Record {
        #[command(flatten)]
        options: record::Options,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Publishes to loopback and ends: for an instruction counter, see scripts/instructions.
    #[command(after_help = "Example:\n  headcast-bench instructions --peers 100 --messages 1000")]
    Instructions(instructions::Options),
    /// Receives on loopback and ends: for an instruction counter, see scripts/instructions.
    #[command(after_help = "Example:\n  headcast-bench receptions --messages 1000")]
    Receptions(receptions::Options),
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headcast-bench: {error}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    match command {
        Command::Run { options, json } => {
            prepare(options.output.as_deref())?;
            let outcome = run::run(&options)?;
            // A full disk does not take what was measured away, nor does a reader that has gone.
            let printed = print(&mut out, json, &outcome);
            if let Some(directory) = &options.output {
                report::files::write(directory, &outcome)?;
            }
            printed?;
            if !outcome.is_valid() {
                return Err("the run is not valid: its figures do not count".into());
            }
        }
        Command::Sweep { options, json } => {
            prepare(options.output.as_deref())?;
            let mut written = Ok(());
            // What was written last has everything: only its failure is one.
            let sweep = sweep::run(&options, |sweep| {
                if let Some(directory) = &options.output {
                    written = report::files::write_json(directory, report::files::SWEEP, sweep);
                }
            })?;
            let printed = print(&mut out, json, &sweep);
            written?;
            printed?;
        }
        Command::Compare { options, json } => {
            let comparison = compare::run(&options)?;
            if options.markdown {
                return Ok(write!(out, "{}", comparison.markdown())?);
            }
            print(&mut out, json, &comparison)?;
        }
        Command::Report(options) => writeln!(out, "{}", report::run(&options)?.display())?,
        Command::Part { part } => compare::play(&part)?,
        Command::Transmit { options, json } => print(&mut out, json, &transmit::run(&options)?)?,
        Command::Memory { peers, json } => {
            let footprints = peers.into_iter().map(memory::measure).collect::<Result<Vec<_>, _>>()?;
            if json {
                return Ok(write_json(&mut out, &footprints)?);
            }
            writeln!(out, "{:>7}  {:<16}  {:>8}", "peers", "part", "B / peer")?;
            for footprint in footprints {
                write!(out, "{footprint}")?;
            }
        }
        Command::Repairs { options, json } => print(&mut out, json, &repairs::run(&options)?)?,
        Command::Record { options, json } => print(&mut out, json, &record::run(&options)?)?,
        Command::Instructions(options) => {
            writeln!(out, "{} datagrams sent", instructions::run(&options)?)?;
        }
        Command::Receptions(options) => {
            writeln!(out, "{} datagrams received", receptions::run(&options)?)?;
        }
    }
    Ok(())
}

/// Makes the directory of the results before anything is measured: that there is none is better known at once.
fn prepare(directory: Option<&Path>) -> Result<(), String> {
    let Some(directory) = directory else { return Ok(()) };
    std::fs::create_dir_all(directory).map_err(|error| {
        format!("--output {}: no results can be written there: {error}", directory.display())
    })
}

fn print(out: &mut impl Write, json: bool, value: &(impl serde::Serialize + Display)) -> io::Result<()> {
    if json { write_json(out, value) } else { write!(out, "{value}") }
}

fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)
}
