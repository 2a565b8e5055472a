//! The command line; what `cargo test` passes to every test is understood, too.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

const NAME: &str = "simulation";

/// Runs worlds of publishers, subscribers and a bad network, each from one seed.
#[derive(Debug, Parser)]
#[command(name = NAME)]
pub(crate) struct Args {
    /// How many worlds
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) seeds: u64,
    /// The seed of the first
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) from: u64,
    /// Only the world of this seed
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "from"])]
    pub(crate) seed: Option<u64>,
    /// With --seed: tells everything that happens
    #[arg(long, requires = "seed")]
    pub(crate) verbose: bool,
    /// Measures what each mode loses, and writes reliability.md and reliability.svg in this directory; with
    /// the name of a file, the table alone into it
    #[arg(long, value_name = "DIR|FILE", conflicts_with_all = ["seeds", "from", "seed"])]
    pub(crate) table: Option<PathBuf>,

    /// Runs only if the name of this test contains one of these
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true, value_name = "FILTER")]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true, value_name = "FORMAT")]
    format: Option<String>,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true, alias = "no-capture")]
    nocapture: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true, value_name = "N")]
    test_threads: Option<usize>,
    #[arg(long, hide = true, value_name = "WHEN")]
    color: Option<String>,
}

impl Args {
    /// Reads the command line; `Err` is how to exit.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            // Where it cannot be printed there is nobody to read it.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        })
    }

    /// Whether it is to run, by what `cargo test` asks for.
    pub(crate) fn is_wanted(&self) -> bool {
        let matches =
            |filter: &String| if self.exact { NAME == filter } else { NAME.contains(filter.as_str()) };
        let wanted = (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skip.iter().any(matches)
            && !self.ignored;
        if self.list && wanted {
            println!("{NAME}: test");
        }
        wanted && !self.list
    }
}
