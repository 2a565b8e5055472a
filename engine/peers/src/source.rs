use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use crate::{Host, LookupError, PeerSet, TargetError, parse_target};

/// Where the peers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// These peers, for ever.
    Static(PeerSet),
    /// The peers that a file lists, one a line (see [`file::parse`](crate::file::parse)). The file is
    /// watched, and is right about everything: who is no longer in it is removed at once.
    File {
        /// The file. It is found by this path anew each time, so that it may be a symbolic link that is
        /// swapped.
        path: PathBuf,
        /// The port of the lines that name none.
        default_port: u16,
    },
    /// The addresses that DNS has for a name.
    #[cfg(feature = "dns")]
    Dns(crate::DnsQuery),
}

impl Source {
    /// The source that `NAME:PORT`, `1.2.3.4:PORT` or `[v6]:PORT` stands for: DNS for a name, one fixed peer
    /// for an address. `localhost` is 127.0.0.1 and is not asked for (RFC 6761, section 6.3).
    ///
    /// # Errors
    /// When the target is not understood, or its name cannot exist.
    pub fn from_target(target: &str) -> Result<Self, TargetError> {
        let (host, port) = parse_target(target)?;
        match host {
            Host::Name(name) if name.eq_ignore_ascii_case("localhost") => {
                Ok(Self::Static([SocketAddr::from((Ipv4Addr::LOCALHOST, port))].into_iter().collect()))
            }
            Host::Ip(ip) => Ok(Self::Static([SocketAddr::new(ip, port)].into_iter().collect())),
            #[cfg(feature = "dns")]
            Host::Name(name) => crate::DnsQuery::new(&name, port).map(Self::Dns).map_err(TargetError::Name),
            #[cfg(not(feature = "dns"))]
            Host::Name(name) => Err(TargetError::NoDns(name)),
        }
    }
}

/// The bounds within which a source may have its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most peers there may be; members come before newcomers. 100,000 by default.
    pub max_peers: usize,
    /// Addresses that are never peers, whatever the source says: those of this host, so that it does not send
    /// to itself.
    pub exclude: Vec<IpAddr>,
    /// The least time between two DNS lookups that succeed; 1 s by default.
    pub refresh_min: Duration,
    /// The most time between two DNS lookups; 5 s by default.
    pub refresh_max: Duration,
    /// The time after the first failure until DNS is asked again, which doubles with every further failure up
    /// to `refresh_max`; 250 ms by default.
    pub retry_min: Duration,
    /// How long a DNS lookup may take in all; 2 s by default.
    pub lookup_timeout: Duration,
    /// How often a file is looked at; 500 ms by default.
    pub file_poll: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_peers: 100_000,
            exclude: Vec::new(),
            refresh_min: Duration::from_secs(1),
            refresh_max: Duration::from_secs(5),
            retry_min: Duration::from_millis(250),
            lookup_timeout: Duration::from_secs(2),
            file_poll: Duration::from_millis(500),
        }
    }
}

/// Why a source cannot be watched at all.
#[derive(Debug)]
pub enum SourceError {
    /// The list of peers is empty.
    NoPeers,
    /// The file is missing, empty or wrong; the text says which, and where.
    File(LookupError),
    /// `/etc/resolv.conf` names no DNS server that could be asked.
    ResolvConf(String),
    /// The operating system does not give what a DNS client needs.
    Runtime(io::Error),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPeers => f.write_str("the list of peers is empty; name at least one address"),
            Self::File(error) => error.fmt(f),
            Self::ResolvConf(error) => {
                write!(f, "cannot learn the DNS server from /etc/resolv.conf: {error}")
            }
            Self::Runtime(error) => write!(f, "cannot start the DNS client: {error}"),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Runtime(error) => Some(error),
            Self::NoPeers | Self::ResolvConf(_) => None,
        }
    }
}
