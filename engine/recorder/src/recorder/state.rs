//! How a recorder stands, and what its threads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};

use mio::Waker;

/// How a recorder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It has not reached its database yet.
    Starting = 0,
    /// Another recorder writes; this one takes over when that is gone.
    Standby = 1,
    /// It stores what it receives.
    Ready = 2,
    /// The database is slow or gone. What has been taken waits; nothing is acknowledged.
    Failing = 3,
}

impl State {
    /// As logs spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Standby => "standby",
            Self::Ready => "ready",
            Self::Failing => "failing",
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Standby,
            2 => Self::Ready,
            3 => Self::Failing,
            _ => Self::Starting,
        }
    }
}

pub(super) struct Shared {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) waker: Arc<Waker>,
    state: AtomicU8,
}

impl Shared {
    pub(super) fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self {
            stop: Arc::default(),
            waker: Arc::new(waker),
            state: AtomicU8::new(State::Starting as u8),
        })
    }

    pub(super) fn state(&self) -> State {
        State::from_number(self.state.load(SeqCst))
    }

    /// Returns the state before.
    pub(super) fn set_state(&self, state: State) -> State {
        State::from_number(self.state.swap(state as u8, SeqCst))
    }
}
