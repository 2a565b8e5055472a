//! Counts of what became of messages that are to be answered.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use headcast::RespondError;

use super::answer::{Stray, Unanswered};

/// What is counted. Once nothing is under way, `Asked` is the sum of all up to `Closed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// Messages that were to be answered.
    Asked,
    /// Answers that the responder took.
    Answered,
    /// The command ended with another code than 0.
    Exited,
    /// The command was ended by a signal.
    Signalled,
    /// There was no answer in time.
    TimedOut,
    /// The answer was longer than a response can be.
    TooLong,
    /// The command could not be started.
    NotStarted,
    /// The command could not be watched.
    Unwatched,
    /// Too many messages waited for an answer.
    BacklogFull,
    /// The application could not be given the message.
    NotHandedOn,
    /// The time to finish was over.
    Stopped,
    /// Answers for which too many others were not acknowledged.
    QueueFull,
    /// Answers that the responder did not take for another reason.
    Closed,
    /// Replies of the application that came too late.
    Late,
    /// Replies to a message that had been answered.
    Repeated,
    /// Replies to a message that was not to be answered.
    Unawaited,
    /// Replies from somebody else.
    Strangers,
    /// Messages that were not to be answered, and could not be handed on.
    Dropped,
}

impl Count {
    pub(super) const ALL: [(Self, &'static str); 18] = [
        (Self::Asked, "asked"),
        (Self::Answered, "answered"),
        (Self::Exited, "exited"),
        (Self::Signalled, "signalled"),
        (Self::TimedOut, "timed_out"),
        (Self::TooLong, "too_long"),
        (Self::NotStarted, "not_started"),
        (Self::Unwatched, "unwatched"),
        (Self::BacklogFull, "backlog_full"),
        (Self::NotHandedOn, "not_handed_on"),
        (Self::Stopped, "stopped"),
        (Self::QueueFull, "queue_full"),
        (Self::Closed, "closed"),
        (Self::Late, "late"),
        (Self::Repeated, "repeated"),
        (Self::Unawaited, "unawaited"),
        (Self::Strangers, "strangers"),
        (Self::Dropped, "dropped"),
    ];
}

const _: () = {
    let mut at = 0;
    while at < Count::ALL.len() {
        assert!(Count::ALL[at].0 as usize == at, "the counts stand in their order");
        at += 1;
    }
};

impl From<&Unanswered> for Count {
    fn from(why: &Unanswered) -> Self {
        match why {
            Unanswered::Exited(_) => Self::Exited,
            Unanswered::Signalled(_) => Self::Signalled,
            Unanswered::TimedOut => Self::TimedOut,
            Unanswered::TooLong => Self::TooLong,
            Unanswered::NotStarted(_) => Self::NotStarted,
            Unanswered::Unwatched(_) => Self::Unwatched,
            Unanswered::Backlog => Self::BacklogFull,
            Unanswered::NotHandedOn(_) => Self::NotHandedOn,
            Unanswered::Stopped => Self::Stopped,
        }
    }
}

impl From<&RespondError> for Count {
    fn from(error: &RespondError) -> Self {
        match error {
            RespondError::Full => Self::QueueFull,
            RespondError::TooLong { .. } => Self::TooLong,
            _ => Self::Closed,
        }
    }
}

impl From<Stray> for Count {
    fn from(stray: Stray) -> Self {
        match stray {
            Stray::Late => Self::Late,
            Stray::Repeated => Self::Repeated,
            Stray::Unawaited => Self::Unawaited,
            Stray::Stranger => Self::Strangers,
            Stray::NotHandedOn => Self::Dropped,
        }
    }
}

/// All counts; any thread adds.
#[derive(Debug, Default)]
pub(super) struct Tally([AtomicU64; Count::ALL.len()]);

impl Tally {
    /// Adds one, and returns how many there are now.
    pub(super) fn add(&self, count: Count) -> u64 {
        self.0[count as usize].fetch_add(1, Relaxed) + 1
    }

    pub(super) fn get(&self, count: Count) -> u64 {
        self.0[count as usize].load(Relaxed)
    }

    /// Every count with its name.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Count::ALL.iter().map(|(count, name)| (*name, self.get(*count)))
    }

    /// Messages that have no answer, for whatever reason.
    pub(super) fn unanswered(&self) -> u64 {
        let failures = Count::Exited as usize..=Count::Closed as usize;
        self.0[failures].iter().map(|count| count.load(Relaxed)).sum()
    }
}
