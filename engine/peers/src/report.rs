use std::{fmt, net::SocketAddr, time::Duration};

/// What one [`Watcher::refresh`](crate::Watcher::refresh) found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the source said.
    pub outcome: Outcome,
    /// Whether the set of peers is another one than before.
    pub changed: bool,
    /// Who came, in ascending order.
    pub added: Vec<SocketAddr>,
    /// Who went, in ascending order.
    pub removed: Vec<SocketAddr>,
    /// For how long the answer may be used, if DNS said so: the least TTL of all records that led to the
    /// peers.
    pub ttl: Option<Duration>,
    /// How many peers the source has beyond [`Limits::max_peers`](crate::Limits::max_peers). They receive
    /// nothing.
    pub over_limit: usize,
    /// After how long to ask again.
    pub next: Duration,
}

/// What a source said. Its `Display` is a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The source answered, and the set of peers changed.
    Fresh,
    /// The source answered, and the set of peers stays as it is.
    Unchanged,
    /// A part of the source answered and was applied; the other part failed, and what was known of it is
    /// kept. For example A was answered and AAAA was not, or one of the targets of an SRV record could not be
    /// resolved.
    Partial(LookupError),
    /// The name exists, but has no such record.
    Empty {
        /// The name that was asked for.
        name: String,
        /// The records that were asked for: `A or AAAA`, or `SRV`.
        records: &'static str,
        /// For how many such answers in a row the last known peers have been kept; 0 when there is nobody to
        /// keep.
        held_for: u32,
    },
    /// The name does not exist (NXDOMAIN). A headless service without a ready pod looks like this, too.
    NoSuchName {
        /// The name that was asked for.
        name: String,
        /// For how many such answers in a row the last known peers have been kept; 0 when there is nobody to
        /// keep.
        held_for: u32,
    },
    /// There is no answer. The last known peers are kept.
    Failed(LookupError),
}

impl Outcome {
    /// Whether the set now is what the source said. Not so while a failure is waited out or peers are held
    /// against an empty answer.
    pub fn is_current(&self) -> bool {
        match self {
            Self::Fresh | Self::Unchanged => true,
            Self::Empty { held_for, .. } | Self::NoSuchName { held_for, .. } => *held_for == 0,
            Self::Partial(_) | Self::Failed(_) => false,
        }
    }
}

/// Why a source gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The DNS server failed to find out (SERVFAIL).
    ServFail,
    /// The DNS server will not answer this client (REFUSED).
    Refused,
    /// No DNS server answered within this time.
    Timeout(Duration),
    /// An answer came that makes no sense, or the file has a line that does.
    Malformed(String),
    /// The operating system refused a file or socket operation.
    Io(String),
    /// The lookup was cut short by [`Stop::stop`](crate::Stop::stop).
    Stopped,
    /// Another response code of the DNS server, or a failure without a name.
    Other(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => f.write_str("the peers changed"),
            Self::Unchanged => f.write_str("the peers are the same"),
            Self::Partial(error) => write!(f, "only a part of the peers is known: {error}"),
            Self::Empty { name, records, .. } => write!(f, "{name} exists but has no {records} record"),
            Self::NoSuchName { name, .. } => write!(f, "no such host {name} (NXDOMAIN)"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServFail => f.write_str("DNS server answered SERVFAIL"),
            Self::Refused => f.write_str("DNS server answered REFUSED"),
            Self::Timeout(after) => write!(f, "DNS server did not answer within {} s", after.as_secs_f64()),
            Self::Malformed(what) | Self::Io(what) | Self::Other(what) => f.write_str(what),
            Self::Stopped => f.write_str("the lookup was stopped"),
        }
    }
}

impl std::error::Error for LookupError {}
