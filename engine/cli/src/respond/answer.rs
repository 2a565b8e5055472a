//! A message that waits for its answer, and what becomes of it.

use std::fmt;
use std::io;
use std::sync::Arc;

use headcast::{Origin, limits};

/// The longest answer in bytes: what a response can carry.
pub(super) const ANSWER_MAX: usize = limits::RESULT_MAX;

/// Bytes of messages that may wait for their turn, whatever their number: one message may have a megabyte.
pub(super) const WAITING_BYTES_MAX: usize = 64 << 20;

/// What a message is known by.
pub(super) trait Subject: Copy + Send + 'static {
    /// The same for a command: variables and their values.
    fn environment(&self) -> [(&'static str, String); 5];
}

impl Subject for Origin {
    fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("HEADCAST_MESSAGE_PUBLISHER", self.publisher.to_string()),
            ("HEADCAST_MESSAGE_SESSION", self.session.to_string()),
            ("HEADCAST_MESSAGE_STREAM", self.stream.to_string()),
            ("HEADCAST_MESSAGE_SEQ", self.seq.to_string()),
            ("HEADCAST_MESSAGE_PART", self.part.to_string()),
        ]
    }
}

/// A message that is to be answered.
pub(super) struct Job<S> {
    /// What it is known by.
    pub(super) subject: S,
    /// What was published.
    pub(super) payload: Box<[u8]>,
}

/// Where answers go. It is called from several threads, and must not wait.
pub(super) trait Outlet<S>: Send + Sync + 'static {
    /// Takes the answer to a message, or why there is none: once for each message.
    fn settle(&self, subject: &S, answer: Result<&[u8], Unanswered>);
    /// Something came that answers no message.
    fn stray(&self, stray: Stray);
}

/// Somewhere that answers go to.
pub(super) type Outbox<S> = Arc<dyn Outlet<S>>;

/// Why a message has no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The command ended with this code.
    Exited(i32),
    /// The command was ended by this signal.
    Signalled(i32),
    /// There was no answer in time.
    TimedOut,
    /// The answer is longer than a response can be.
    TooLong,
    /// The command could not be started.
    NotStarted(io::Error),
    /// The command's pipes or its end could not be watched.
    Unwatched(io::Error),
    /// Too many messages waited for their turn.
    Backlog,
    /// The application could not be given the message.
    NotHandedOn(io::Error),
    /// The time to finish was over first.
    Stopped,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "the command ended with code {code}"),
            Self::Signalled(signal) => write!(f, "the command was ended by signal {signal}"),
            Self::TimedOut => f.write_str("no answer came within --respond-timeout"),
            Self::TooLong => write!(f, "the answer is longer than {ANSWER_MAX} bytes"),
            Self::NotStarted(error) => write!(f, "the command cannot be started: {error}"),
            Self::Unwatched(error) => write!(f, "the command cannot be watched: {error}"),
            Self::Backlog => f.write_str("too many messages waited for an answer; see --respond-concurrency"),
            Self::NotHandedOn(error) => write!(f, "the application could not be given the message: {error}"),
            Self::Stopped => f.write_str("--respond-drain was over first"),
        }
    }
}

/// What came from an application, or from somebody else, and answers no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// The message had waited for too long.
    Late,
    /// The message had been answered before.
    Repeated,
    /// The message was handed on without awaiting an answer.
    Unawaited,
    /// It is not from the application's address.
    Stranger,
    /// A message could not be handed on, and was not to be answered either.
    NotHandedOn,
}
