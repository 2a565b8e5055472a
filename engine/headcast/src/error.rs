//! What can go wrong, each with what would be right.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use headcast_peers::{Outcome, SourceError, TargetError};
use headcast_udp::XdpError;

/// Why a publisher or a subscriber could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is out of its range: which one, and what would be right.
    Setting(String),
    /// What to send to was not understood.
    Target(TargetError),
    /// The source of the peers cannot be watched.
    Source(SourceError),
    /// A socket could not be opened or bound.
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A Unix socket could not be bound.
    BindPath {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Frames are demanded, and cannot be sent: what is missing.
    Xdp(XdpError),
    /// The operating system refused something else: what, and why.
    Os(&'static str, io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(what) => f.write_str(what),
            Self::Target(error) => error.fmt(f),
            Self::Source(error) => error.fmt(f),
            Self::Bind { address, error } => write!(f, "cannot listen on {address}: {}", reason(error)),
            Self::BindPath { path, error } => {
                write!(f, "cannot listen on {}: {}", path.display(), reason(error))
            }
            Self::Xdp(error) => error.fmt(f),
            Self::Os(what, error) => write!(f, "cannot {what}: {error}"),
        }
    }
}

/// What the kernel said, in words that help.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process has it; choose another or stop that one".into(),
        io::ErrorKind::AddrNotAvailable => "no interface of this host has that address".into(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need CAP_NET_BIND_SERVICE, paths a writable directory".into()
        }
        io::ErrorKind::NotFound => "the directory does not exist".into(),
        _ => error.to_string(),
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Setting(_) => None,
            Self::Target(error) => Some(error),
            Self::Source(error) => Some(error),
            Self::Xdp(error) => Some(error),
            Self::Bind { error, .. } | Self::BindPath { error, .. } | Self::Os(_, error) => Some(error),
        }
    }
}

impl From<TargetError> for BuildError {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

/// Why a message was not accepted.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// Longer than a message may be: [`message_max`](crate::PublisherBuilder::message_max), and no more
    /// than 1,024 datagrams.
    TooLong {
        /// Bytes of the message.
        len: usize,
        /// The most there may be.
        max: usize,
    },
    /// Cut into more datagrams than the ring holds. Dropping by messages needs room for all of one; only to
    /// block can it be sent while it is cut.
    RingTooShort {
        /// Datagrams that the message takes.
        datagrams: usize,
        /// Datagrams that the ring holds.
        ring: usize,
    },
    /// The backlog is full, and the policy is to drop what comes last.
    Full,
    /// The publisher has closed.
    Closed,
    /// The socket is of no use any more.
    Socket(io::Error),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(
                f,
                "a message of {len} bytes is too long: at most {max} are possible here; send less, or allow more"
            ),
            Self::RingTooShort { datagrams, ring } => write!(
                f,
                "a message of {datagrams} datagrams does not fit into a ring of {ring}, and to drop messages whole it has to; a longer ring would do, larger datagrams, or a backlog that blocks"
            ),
            Self::Full => f.write_str("the backlog is full and the message was dropped"),
            Self::Closed => f.write_str("the publisher has closed"),
            Self::Socket(error) => write!(f, "cannot send: {error}"),
        }
    }
}

impl std::error::Error for PublishError {}

impl From<io::Error> for PublishError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

/// Why a response was not accepted. Nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RespondError {
    /// The message has no header, so there is no saying which one was answered.
    NoHeader,
    /// The subscriber has nobody to respond to.
    NoResponder,
    /// The result is longer than a response can carry.
    TooLong {
        /// Bytes of the result.
        len: usize,
        /// The most there may be.
        max: usize,
    },
    /// The session or the sequence of the message is 2^63 or more, or the sequence 0: no recorder stores that, and no
    /// publisher of Headcast sends it.
    Unstorable,
    /// As many responses, or bytes of them, are held as may be: the recorder does not keep up.
    Full,
    /// The responder has closed.
    Closed,
}

impl fmt::Display for RespondError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => {
                f.write_str("a raw message has no number, so it cannot be answered; framed ones can")
            }
            Self::NoResponder => {
                f.write_str("there is no recorder to respond to; give the subscriber a responder")
            }
            Self::TooLong { len, max } => {
                write!(f, "a result of {len} bytes is too long: a response carries at most {max}")
            }
            Self::Unstorable => f.write_str(
                "the message has a number that databases cannot count; sessions and sequences go up to 2^63 - 1, sequences from 1",
            ),
            Self::Full => f.write_str(
                "too many responses are held that no recorder has acknowledged; see whether it runs, or hold more",
            ),
            Self::Closed => f.write_str("the responder has closed"),
        }
    }
}

impl std::error::Error for RespondError {}

/// Why there are no peers.
#[derive(Debug)]
#[non_exhaustive]
pub enum WaitError {
    /// What the source said last: its text is a sentence.
    NoPeers(Outcome),
    /// The source has not said anything yet.
    NoAnswer,
    /// A handle said stop.
    Stopped,
    /// The event loop failed.
    Io(io::Error),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPeers(outcome @ (Outcome::NoSuchName { .. } | Outcome::Empty { .. })) => {
                write!(f, "{outcome}; check the name, or wait until a pod of it is ready")
            }
            Self::NoPeers(Outcome::Fresh | Outcome::Unchanged) => {
                f.write_str("every address of the source is excluded: there is nobody to send to")
            }
            Self::NoPeers(outcome) => outcome.fmt(f),
            Self::Stopped => f.write_str("stopped before there was a peer"),
            Self::NoAnswer => f.write_str("nothing has told who the peers are yet"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WaitError {}
