//! The options of `headcast subscribe`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use headcast::Listen;

use super::common;

#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// Where to receive
    #[arg(long, value_name = "ADDR:PORT", value_parser = common::listen_address, default_value = "0.0.0.0:12000")]
    pub(crate) listen: SocketAddr,
    /// How to print messages
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Hand messages on to a local socket instead of printing them: udp://ADDR:PORT or unix:///PATH
    #[arg(long, value_name = "URL", conflicts_with = "output")]
    pub(crate) forward: Option<Listen>,
    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time; a failure if --count messages have not come by then
    #[arg(long, value_name = "DURATION", value_parser = common::duration)]
    pub(crate) timeout: Option<Duration>,
    /// Go on receiving for this long after SIGTERM: publishers learn late that a pod stops
    #[arg(long, value_name = "DURATION", value_parser = common::duration, default_value = "0s")]
    pub(crate) linger: Duration,
    /// Take every datagram as a message, whoever sent it and how often
    #[arg(long)]
    pub(crate) raw: bool,
    /// The streams to accept, or 'all'
    #[arg(long, value_name = "N,N", value_parser = common::streams, default_value = "0")]
    pub(crate) streams: common::Streams,
    /// How many streams of publishers to track at a time
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) publishers: usize,
    /// How many sequences of each to remember: a power of two
    #[arg(long, value_name = "N", default_value_t = 8192)]
    pub(crate) window: usize,
    /// The receive buffer to ask for, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub(crate) receive_buffer: usize,
    /// Whether the kernel may hand over datagrams that follow one another in one piece, where it can
    #[arg(long, value_enum, value_name = "on|off", default_value_t)]
    pub(crate) gro: common::Switch,
    #[command(flatten)]
    pub(crate) delivery: Delivery,
    #[command(flatten)]
    pub(crate) responding: Responding,
}

/// What becomes of messages that are missing, in parts, or out of order.
#[derive(Debug, Args)]
#[command(next_help_heading = "Delivery")]
pub(crate) struct Delivery {
    /// Hand messages on in the order in which they were published, and hold back what follows a missing one
    #[arg(long, conflicts_with = "raw")]
    pub(crate) ordered: bool,
    /// With --ordered: the longest that a message is held back
    #[arg(long, value_name = "DURATION", value_parser = common::duration, default_value = "100ms")]
    pub(crate) max_hold: Duration,
    /// Ask for up to N datagrams that a publisher sent before this subscriber heard it, if its mode is dup+nak or nak
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) history: u64,
    /// Never ask a publisher to repeat what is missing, whatever its mode
    #[arg(long)]
    pub(crate) no_repair: bool,
    /// The longest message to put together from fragments, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = headcast::limits::MESSAGE_MAX)]
    pub(crate) message_max: usize,
    /// Memory for fragments and for messages that are held back, in bytes; a quarter of it for each publisher
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    pub(crate) memory: usize,
}

/// How messages are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// The payload and a newline
    #[default]
    Text,
    /// One JSON object a line: messages, gaps, sessions that begin and end, and the totals at the end
    Json,
    /// The payloads, with nothing between them
    Raw,
}

/// Whether messages are answered, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Responding")]
pub(crate) struct Responding {
    /// Answer each message, and send the answers to this recorder: NAME:PORT, or addresses with commas between them
    ///
    /// A response is sent again until the recorder has stored it. Of several recorders one writes, and the others stand
    /// by.
    #[arg(
        long,
        value_name = "NAME:PORT",
        value_delimiter = ',',
        num_args = 1,
        requires = "respond_with",
        conflicts_with = "raw"
    )]
    pub(crate) respond_to: Vec<String>,
    /// Who answers
    #[arg(long, value_enum, requires = "respond_to")]
    pub(crate) respond_with: Option<RespondWith>,
    /// How many messages are answered at a time, 1 to 1024 [default: exec: the number of CPUs, forward: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) respond_concurrency: Option<u16>,
    /// How many messages may wait beside them; more are not answered, and counted
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) respond_backlog: usize,
    /// The longest that an answer may take; then the command is killed, or the application's reply is ignored
    #[arg(long, value_name = "DURATION", value_parser = common::duration, default_value = "5s")]
    pub(crate) respond_timeout: Duration,
    /// How many responses are held that the recorder has not stored yet; more are refused, and counted
    #[arg(long, value_name = "N", default_value_t = 8192)]
    pub(crate) respond_queue: usize,
    /// How long to go on answering at the end, and sending responses until all are stored
    #[arg(long, value_name = "DURATION", value_parser = common::duration, default_value = "20s")]
    pub(crate) respond_drain: Duration,
    /// The number that the recorder knows this responder by [default: from the host's name]
    #[arg(long, value_name = "N")]
    pub(crate) respond_id: Option<u32>,
    /// With --respond-with exec: the command and its arguments, after --; no shell reads them
    #[arg(last = true, value_name = "COMMAND", requires = "respond_with")]
    pub(crate) command: Vec<OsString>,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RespondWith {
    /// A command that is run for each message: it reads the message from its standard input and writes the answer to its
    /// standard output; HEADCAST_MESSAGE_PUBLISHER, _SESSION, _STREAM, _SEQ and _PART say which message it is
    Exec,
    /// The application of --forward: it receives a datagram, and sends its answer to where that came from
    Forward,
    /// Nobody: the answer is the message itself
    Echo,
}
