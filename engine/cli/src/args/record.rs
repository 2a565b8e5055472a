//! The options of `headcast record`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use headcast_recorder::{Database, Durability};

use super::common;

pub(super) const EXAMPLES: &str = "\
Examples:
  headcast record
  headcast record --listen 0.0.0.0:12001 --database sqlite:/data/responses.db --keep-all
  headcast record --database postgres://headcast@db.demo.svc/responses --ready 0.0.0.0:12001
  headcast subscribe --respond-to recorder:12001 --respond-with echo
  headcast records --database sqlite:responses.db --divergent";

#[derive(Debug, Args)]
pub(crate) struct Record {
    /// Where to receive responses
    #[arg(long, value_name = "ADDR:PORT", value_parser = common::listen_address, default_value = "0.0.0.0:12001")]
    pub(crate) listen: SocketAddr,
    /// Where to store them: sqlite:PATH or postgres://USER@HOST:PORT/NAME
    ///
    /// A password in it can be seen by everybody on this host: better set HEADCAST_DATABASE, or PGPASSWORD.
    #[arg(long, value_name = "URL", default_value = "sqlite:responses.db")]
    pub(crate) database: Database,
    /// Keep every response in a row of its own, beside the one row for each message
    #[arg(long)]
    pub(crate) keep_all: bool,
    /// What an acknowledged response survives
    #[arg(long, value_enum, default_value_t)]
    pub(crate) durability: DurabilityArg,
    /// The most responses in one transaction
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    pub(crate) commit_rows: usize,
    /// The most bytes of results in one transaction; twice as much memory is taken
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    pub(crate) commit_bytes: usize,
    /// How long a response may wait for others, to be committed together
    #[arg(long, value_name = "DURATION", value_parser = common::duration, default_value = "0s")]
    pub(crate) commit_wait: Duration,
    /// Accept TCP connections here as long as responses are being stored, for readiness probes [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT", value_parser = common::listen_address)]
    pub(crate) ready: Option<SocketAddr>,
    /// The receive buffer to ask for, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub(crate) receive_buffer: usize,
    /// Print the totals as one JSON object on standard output at the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// What an acknowledged response survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// A power cut: every commit waits for the disk
    #[default]
    Power,
    /// The death of the recorder; a power cut, or of PostgreSQL a crash, may take the last moments with it
    Process,
}

impl From<DurabilityArg> for Durability {
    fn from(arg: DurabilityArg) -> Self {
        match arg {
            DurabilityArg::Power => Self::Power,
            DurabilityArg::Process => Self::Process,
        }
    }
}
