//! Options that several commands share, and how values are read.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use headcast::{Backend, Backlog};
use headcast_peers::PeerError;
use tracing_subscriber::filter::LevelFilter;

#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct Logging {
    /// The least level of log lines on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogLevel::Info)]
    pub(crate) log_level: LogLevel,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Whether something is done where it can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    #[default]
    On,
    Off,
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self == Self::On
    }
}

/// Where the peers come from: exactly one of these.
#[derive(Debug, Args)]
#[command(next_help_heading = "Peers")]
#[group(required = true, multiple = false)]
pub(crate) struct Peers {
    /// The headless service, asked of DNS again and again: NAME:PORT
    #[arg(long, value_name = "NAME:PORT")]
    pub(crate) to: Option<String>,
    /// These addresses; one without a port means 12000
    #[arg(long, value_name = "ADDR,ADDR", value_delimiter = ',', num_args = 1, value_parser = peer)]
    pub(crate) peers: Option<Vec<SocketAddr>>,
    /// The addresses in this file, one a line, and watch it for changes
    #[arg(long, value_name = "FILE")]
    pub(crate) peers_file: Option<PathBuf>,
}

/// The options of [`Peers`], of which only one may be set.
pub(super) const PEERS: [&str; 3] = ["to", "peers", "peers-file"];

/// Who receives.
#[derive(Debug, Args)]
#[command(next_help_heading = "Peers")]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) source: Peers,
    /// --to is the name of an SRV record, without a port: addresses and ports come from there
    #[arg(long)]
    pub(crate) srv: bool,
    /// For --to: ask this DNS server rather than those of /etc/resolv.conf
    #[arg(long, value_name = "ADDR:PORT", value_parser = dns_server)]
    pub(crate) dns_server: Option<SocketAddr>,
    /// Never send to these addresses
    #[arg(long, value_name = "IP,IP", value_delimiter = ',', num_args = 1)]
    pub(crate) exclude: Vec<IpAddr>,
    /// Never send to an address of this host: for a pod that is behind the name itself
    #[arg(long)]
    pub(crate) exclude_self: bool,
    /// The most peers: of a name the rest receives nothing, and a log line says so; a file with more is refused
    #[arg(long, value_name = "N", default_value_t = headcast::limits::PEERS_MAX)]
    pub(crate) max_peers: usize,
}

/// How messages go out.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(crate) struct Sending {
    /// How messages are made to arrive [default: dup; with --raw or --copies 1, once]
    ///
    /// A lost datagram takes its copies with it if they leave in one burst of loss, so copies are spaced; what is
    /// lost all the same only asking brings back. Asking alone costs the least, and a round trip when it happens.
    #[arg(long, value_enum)]
    pub(crate) mode: Option<Mode>,
    /// How often each message is sent: 2 to 7 in the modes dup and dup+nak, else 1 [default: 2, or 1]
    #[arg(long, value_name = "K")]
    pub(crate) copies: Option<usize>,
    /// How long after the first copy the second goes out
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2ms")]
    pub(crate) spacing: Duration,
    /// The stream to publish on
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) stream: u16,
    /// Leave the header out, for plain UDP receivers
    #[arg(long)]
    pub(crate) raw: bool,
    /// The number that subscribers know this publisher by [default: from the host's name]
    #[arg(long, value_name = "N")]
    pub(crate) publisher_id: Option<u32>,
    /// The largest datagram in bytes, header included; a longer message is cut into up to 1024 of them
    #[arg(long, value_name = "BYTES", default_value_t = headcast::limits::DATAGRAM_DEFAULT)]
    pub(crate) datagram_max: usize,
    /// The longest message in bytes; one that fits into a datagram is always possible
    #[arg(long, value_name = "BYTES", default_value_t = headcast::limits::MESSAGE_MAX)]
    pub(crate) message_max: usize,
    /// How many datagrams the ring holds, to be sent and to be sent again: a power of two
    #[arg(long, value_name = "N", default_value_t = headcast::limits::RING_DEFAULT)]
    pub(crate) ring: usize,
    /// The most that one subscriber is sent again in the modes with nak, in percent of the stream's bytes
    ///
    /// It bounds what a subscriber that loses everything costs the others. 64 datagrams at once are always possible.
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "10")]
    pub(crate) repair_share: f64,
    /// The shortest time between two repairs of a datagram to a subscriber: about the round trip to it
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "500us")]
    pub(crate) repair_interval: Duration,
    /// How many datagrams of the past a subscriber that has just started may ask for [default: what the ring holds]
    #[arg(long, value_name = "N")]
    pub(crate) history_max: Option<usize>,
    /// What to do with messages that come faster than they go
    #[arg(long, value_enum, default_value_t)]
    pub(crate) backlog: BacklogArg,
    /// The send buffer to ask for, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub(crate) send_buffer: usize,
    /// The most datagrams in one system call; 1 turns sendmmsg off
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) send_batch: usize,
    /// Whether small messages that queue while others go out share a datagram
    ///
    /// A message that finds nothing queued goes out at once and alone, and nothing waits to be joined by others. Plain UDP
    /// receivers (--raw) get a datagram for each message in any case.
    #[arg(long, value_enum, value_name = "on|off", default_value_t)]
    pub(crate) packing: Switch,
    /// Whether datagrams that queue go to each peer several at once, by UDP segmentation offload
    ///
    /// Where the kernel refuses that on the way to a peer, they go to it one by one, and are counted in gso_refused.
    #[arg(long, value_enum, value_name = "on|off", default_value_t)]
    pub(crate) gso: Switch,
    /// How long sending several datagrams to each peer may take: so much later the last peer gets the first of them
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1ms")]
    pub(crate) pass_max: Duration,
    /// By which way datagrams leave
    ///
    /// AF_XDP takes frames past the IP stack to the interface: at less than half of the cost of a datagram, but also past
    /// firewall rules, IPsec and queueing of this network namespace. It needs CAP_NET_RAW and 128 KiB of locked memory,
    /// and takes up to 4 MiB. Peers that it cannot reach, and datagrams that queue up, go by the socket.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) backend: BackendArg,
    /// Never sleep: a core for the last microseconds
    #[arg(long)]
    pub(crate) busy_poll: bool,
    /// Keep the sending thread on this core
    #[arg(long, value_name = "CORE")]
    pub(crate) pin: Option<usize>,
    /// How long to go on sending at the end
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "20s")]
    pub(crate) drain: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Every message is sent once, and what is lost is lost
    Once,
    /// Every message is sent several times, spaced; subscribers drop the duplicates
    Dup,
    /// As dup, and who has lost all copies asks and is sent the message again
    #[value(name = "dup+nak")]
    DupNak,
    /// Every message is sent once; who has lost it asks and is sent it again
    Nak,
}

impl From<Mode> for headcast::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Once => Self::Once,
            Mode::Dup => Self::Dup,
            Mode::DupNak => Self::DupNak,
            Mode::Nak => Self::Nak,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BacklogArg {
    /// Make whoever publishes wait
    #[default]
    Block,
    /// Refuse the new message
    DropNewest,
    /// Give up the oldest message
    DropOldest,
}

impl From<BacklogArg> for Backlog {
    fn from(arg: BacklogArg) -> Self {
        match arg {
            BacklogArg::Block => Self::Block,
            BacklogArg::DropNewest => Self::DropNewest,
            BacklogArg::DropOldest => Self::DropOldest,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendArg {
    /// UDP sockets
    #[default]
    Socket,
    /// AF_XDP where it can be had, which a log line says
    Auto,
    /// AF_XDP; an error where it cannot be had
    Xdp,
}

impl From<BackendArg> for Backend {
    fn from(arg: BackendArg) -> Self {
        match arg {
            BackendArg::Socket => Self::Socket,
            BackendArg::Auto => Self::Auto,
            BackendArg::Xdp => Self::Xdp,
        }
    }
}

/// Which streams to accept; none in the list is all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Streams(pub(crate) Vec<u16>);

pub(super) fn streams(text: &str) -> Result<Streams, String> {
    if text == "all" {
        return Ok(Streams(Vec::new()));
    }
    let numbers = text.split(',').map(|part| part.trim().parse());
    let numbers: Result<_, _> = numbers.collect();
    numbers
        .map(Streams)
        .map_err(|_| "right would be numbers from 0 to 65535 with commas between them, or 'all'".into())
}

pub(super) fn peer(text: &str) -> Result<SocketAddr, String> {
    headcast_peers::parse_peer(text, headcast::limits::PORT_DEFAULT).map_err(|error| match error {
        PeerError::NotAnAddress(_) => format!("{error}; a name goes with --to"),
        error => error.to_string(),
    })
}

pub(super) fn dns_server(text: &str) -> Result<SocketAddr, String> {
    headcast_peers::parse_peer(text, 53).map_err(|error| error.to_string())
}

pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "right would be an address with a port, such as 0.0.0.0:12000 or [::]:12000".into())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; right would be a number with its unit, such as 500us, 2ms or 10s"))
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=100_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("right would be a number of messages per second from 0.001 to 100000000".into()),
    }
}

pub(super) fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("right would be a number from 0 to 100".into()),
    }
}
