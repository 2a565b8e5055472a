//! The lines that there are, by their tokens.

use std::io;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::line::{Application, Line};
use crate::respond::answer::Subject;

/// All lines, and how the kernel is asked to tell of them.
pub(super) struct Lines<S> {
    application: Application,
    registry: Registry,
    /// By their tokens.
    lines: Vec<Option<Busy<S>>>,
    /// Tokens without a line.
    vacant: Vec<usize>,
}

/// A line, what it is there for, and since when.
pub(super) struct Busy<S> {
    pub(super) line: Line,
    pub(super) state: State<S>,
    pub(super) since: Instant,
}

#[derive(Clone, Copy)]
pub(super) enum State<S> {
    /// This message is under way.
    Asked(S),
    /// Its message has been answered.
    Resting,
    /// Its message was not answered in time.
    Retired,
    /// Replies that come by it are not awaited.
    Deaf,
}

impl<S: Subject> Lines<S> {
    pub(super) fn new(application: Application, registry: Registry) -> Self {
        Self { application, registry, lines: Vec::new(), vacant: Vec::new() }
    }

    /// Whether a line may be used for another message: the name of a Unix socket is good for one.
    pub(super) fn are_reusable(&self) -> bool {
        matches!(self.application, Application::Udp(_))
    }

    /// A new line; a patient one waits a while if the application's socket is full.
    pub(super) fn open(&mut self, patient: bool, now: Instant) -> io::Result<usize> {
        let line = Line::open(&self.application, patient)?;
        let token = self.vacant.last().copied().unwrap_or(self.lines.len());
        self.registry.register(&mut SourceFd(&line.as_raw_fd()), Token(token), Interest::READABLE)?;
        let busy = Some(Busy { line, state: State::Deaf, since: now });
        match self.lines.get_mut(token) {
            Some(place) => {
                *place = busy;
                self.vacant.pop();
            }
            None => self.lines.push(busy),
        }
        Ok(token)
    }

    pub(super) fn get(&self, token: usize) -> Option<&Busy<S>> {
        self.lines.get(token)?.as_ref()
    }

    pub(super) fn set(&mut self, token: usize, state: State<S>, now: Instant) {
        if let Some(Some(busy)) = self.lines.get_mut(token) {
            (busy.state, busy.since) = (state, now);
        }
    }

    pub(super) fn send(&self, token: usize, payload: &[u8]) -> io::Result<()> {
        self.get(token).map_or(Err(io::ErrorKind::NotConnected.into()), |busy| busy.line.send(payload))
    }

    /// Has the kernel tell anew of what is there.
    pub(super) fn look_again(&self, token: usize) {
        if let Some(busy) = self.get(token) {
            let fd = busy.line.as_raw_fd();
            // It was registered the same way; if that fails, what is there waits for what comes next.
            let _ = self.registry.reregister(&mut SourceFd(&fd), Token(token), Interest::READABLE);
        }
    }

    pub(super) fn close(&mut self, token: usize) {
        if let Some(busy) = self.lines.get_mut(token).and_then(Option::take) {
            // Closing would do it as well; nothing can be done if it does not work.
            let _ = self.registry.deregister(&mut SourceFd(&busy.line.as_raw_fd()));
            self.vacant.push(token);
        }
    }
}
