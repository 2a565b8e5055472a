//! Taking what comes, until it is time to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use headcast::{Event, Subscriber};
use mio::{Events, Poll};

use super::Sink;
use crate::args::Subscribe;
use crate::failure::Failure;
use crate::report;

/// Messages between two looks at the clock and at signals: under load there is always one more.
const MESSAGES_MAX: usize = 1024;
/// How often losses are logged.
const LOSSES_EVERY: Duration = Duration::from_secs(1);
/// How many times as many may be left at the end: more than any socket's buffer holds.
const REST_MAX: usize = 1024;

/// When to end.
pub(super) struct Receiving {
    left: Option<u64>,
    deadline: Option<Instant>,
    linger: Duration,
    stopping: Arc<AtomicBool>,
    lingering: bool,
    losses: Losses,
}

impl Receiving {
    /// Until what `args` say has come, or `stopping` is set and the poll is woken.
    pub(super) fn new(args: &Subscribe, stopping: Arc<AtomicBool>) -> Self {
        Self {
            left: args.count,
            deadline: args.timeout.and_then(|timeout| report::now().checked_add(timeout)),
            linger: args.linger,
            stopping,
            lingering: false,
            losses: Losses::default(),
        }
    }

    /// Takes everything that comes.
    ///
    /// # Errors
    /// The socket or the sink failed.
    pub(super) fn run(
        &mut self,
        mut poll: Poll,
        subscriber: &mut Subscriber,
        sink: &mut Sink,
    ) -> io::Result<()> {
        let mut events = Events::with_capacity(4);
        loop {
            let more = self.take_some(subscriber, sink)?;
            sink.flush()?;
            if self.stopping.load(SeqCst) && !self.lingering {
                self.lingering = true;
                self.deadline = report::now().checked_add(self.linger);
            }
            let now = report::now();
            if self.left == Some(0) {
                return Ok(());
            }
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                return self.take_rest(subscriber, sink);
            }
            if more {
                continue;
            }
            match poll.poll(&mut events, self.deadline.map(|deadline| deadline - now)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => result?,
            }
        }
    }

    /// Takes what is there, within bounds; returns whether there may be more.
    fn take_some(&mut self, subscriber: &mut Subscriber, sink: &mut Sink) -> io::Result<bool> {
        for _ in 0..MESSAGES_MAX {
            if self.left == Some(0) {
                break;
            }
            let Some(event) = subscriber.try_next()? else { return Ok(false) };
            match &event {
                Event::Message(message) => {
                    sink.take(message)?;
                    self.left = self.left.map(|left| left - 1);
                }
                other => {
                    self.losses.log(other);
                    sink.tell(other)?;
                }
            }
        }
        Ok(true)
    }

    /// Takes what has arrived, and no more.
    fn take_rest(&mut self, subscriber: &mut Subscriber, sink: &mut Sink) -> io::Result<()> {
        // Where the kernel cannot refuse more, there is still a bound.
        let _ = subscriber.refuse_more();
        subscriber.give_up();
        for _ in 0..REST_MAX {
            if !self.take_some(subscriber, sink)? || self.left == Some(0) {
                break;
            }
        }
        sink.flush()
    }

    /// Whether all came that was to come.
    ///
    /// # Errors
    /// It did not.
    pub(super) fn verdict(&self, args: &Subscribe) -> Result<(), Failure> {
        match (self.left, args.count, args.timeout) {
            (Some(left @ 1..), Some(count), Some(timeout)) if !self.lingering => Err(Failure::new(format!(
                "{} of {count} messages came within {}",
                count - left,
                humantime::format_duration(timeout)
            ))),
            _ => Ok(()),
        }
    }
}

/// What becomes of publishers goes to the log; gaps at most once a second, summed up.
#[derive(Default)]
struct Losses {
    gaps: u64,
    lost: u64,
    logged: Option<Instant>,
}

impl Losses {
    fn log(&mut self, event: &Event<'_>) {
        match event {
            Event::Gap { from, to, .. } => {
                self.gaps += 1;
                self.lost += to - from + 1;
                let now = report::now();
                if self.logged.is_none_or(|logged| now - logged >= LOSSES_EVERY) {
                    self.logged = Some(now);
                    tracing::warn!(gaps = self.gaps, lost = self.lost, "datagrams are lost for good");
                }
            }
            Event::Opened { id, seq, from, before } => tracing::info!(
                publisher = id.publisher,
                session = %id.session,
                stream = id.stream,
                seq,
                joined_late = *from > 1,
                restart_of = before.map(tracing::field::display),
                "a session is heard"
            ),
            Event::Ended { id } => {
                tracing::info!(publisher = id.publisher, session = %id.session, "the publisher stops");
            }
            Event::Silent { id } => {
                tracing::warn!(publisher = id.publisher, session = %id.session, "the publisher is not heard any more");
            }
            _ => {}
        }
    }
}
