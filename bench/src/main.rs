//! `headcast-bench`: see [`headcast_bench`].

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use headcast_bench::{instructions, memory, receptions, record, repairs, transmit};

/// Measures Headcast.
///
/// docs/benchmarks.md tells what the figures mean. The single steps are timed by
/// `cargo bench -p headcast-bench --bench micro`.
#[derive(Parser)]
#[command(version, subcommand_required = true, arg_required_else_help = true)]
enum Command {
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
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    match command {
        Command::Transmit { options, json: true } => write_json(&mut out, &transmit::run(&options)?)?,
        Command::Transmit { options, json: false } => write!(out, "{}", transmit::run(&options)?)?,
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
        Command::Repairs { options, json: true } => write_json(&mut out, &repairs::run(&options)?)?,
        Command::Repairs { options, json: false } => write!(out, "{}", repairs::run(&options)?)?,
        Command::Record { options, json: true } => write_json(&mut out, &record::run(&options)?)?,
        Command::Record { options, json: false } => write!(out, "{}", record::run(&options)?)?,
        Command::Instructions(options) => {
            writeln!(out, "{} datagrams sent", instructions::run(&options)?)?;
        }
        Command::Receptions(options) => {
            writeln!(out, "{} datagrams received", receptions::run(&options)?)?;
        }
    }
    Ok(())
}

fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)
}
