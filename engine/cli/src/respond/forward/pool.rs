//! Lines to the application: which message is under way on which, and when one may be used again.
//!
//! ```text
//!             a message             its reply            after a while
//!   unused ------------> asked -----------------> resting ------------> unused (UDP), closed (Unix)
//!                          |   the time is over
//!                          +--------------------> retired ------------> closed
//! ```
//!
//! A line has at most one message under way, so what comes by it answers that message, whatever it says. A second
//! reply comes by a line that rests, a late one by a line that has retired; both are dropped and counted. The
//! names of Unix sockets are never used again, so there no reply ever meets another message. The ports of UDP are:
//! there a second reply can be taken for that to another message if it comes more than [`REST`] after the first, or
//! after [`RESTING_MAX`] others; and a late one if it comes more than [`RETIREMENT`] after the time was over, or after
//! [`RETIRED_MAX`] others, and the kernel gives the same port again.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::line::Received;
use super::lines::{Busy, Lines, State};
use crate::respond::answer::{ANSWER_MAX, Job, Outbox, Stray, Subject, Unanswered, WAITING_BYTES_MAX};

/// How long a line rests after a reply, so that a second reply does not meet another message.
const REST: Duration = Duration::from_secs(1);
/// How many lines rest at most; with more, those that have rested longest do not wait for the end of it.
const RESTING_MAX: usize = 256;
/// How long a line is kept whose message was not answered in time.
const RETIREMENT: Duration = Duration::from_secs(60);
/// How many of those there are at most.
const RETIRED_MAX: usize = 256;
/// How soon a full application is tried again, if it does not reply before.
const RETRY: Duration = Duration::from_millis(50);
/// Datagrams that are taken from a line before others have their turn.
const RECEIVED_MAX: usize = 64;

/// All lines, and the messages that wait for one.
pub(super) struct Pool<S> {
    limits: Limits,
    outbox: Outbox<S>,
    lines: Lines<S>,
    /// Lines with a message under way, the oldest first; and so on.
    asked: VecDeque<usize>,
    resting: VecDeque<usize>,
    retired: VecDeque<usize>,
    /// The line for messages whose answer is not awaited.
    deaf: Option<usize>,
    waiting: VecDeque<Job<S>>,
    waiting_bytes: usize,
    /// When the application's socket was found to be full, and the first of them had to wait.
    full: Option<Instant>,
    buffer: Box<[u8]>,
}

/// What a pool may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Messages under way at a time.
    pub(super) concurrency: usize,
    /// Messages that wait beside them.
    pub(super) backlog: usize,
    /// How long a reply is waited for.
    pub(super) timeout: Duration,
}

impl<S: Subject> Pool<S> {
    pub(super) fn new(lines: Lines<S>, limits: Limits, outbox: Outbox<S>) -> Self {
        Self {
            limits,
            outbox,
            lines,
            asked: VecDeque::new(),
            resting: VecDeque::new(),
            retired: VecDeque::new(),
            deaf: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            full: None,
            buffer: vec![0; ANSWER_MAX].into(),
        }
    }

    /// Hands a message on, or has it wait. Without room for one more, the one that has waited longest is handed
    /// on now, and is not answered: so the application gets all of them, and in their order.
    pub(super) fn offer(&mut self, subject: S, payload: &[u8], now: Instant) {
        let free = self.waiting.is_empty() && self.asked.len() < self.limits.concurrency;
        if free && self.ask(subject, payload, now) {
            return;
        }
        while self.waiting.len() >= self.limits.backlog
            || self.waiting_bytes + payload.len() > WAITING_BYTES_MAX
        {
            let Some(oldest) = self.next_waiting() else { break };
            self.refuse(&oldest.subject, &oldest.payload, Unanswered::Backlog, now);
        }
        if self.limits.backlog == 0 {
            self.refuse(&subject, payload, Unanswered::Backlog, now);
            return;
        }
        self.waiting_bytes += payload.len();
        self.waiting.push_back(Job { subject, payload: payload.into() });
    }

    /// Takes what has come by a line.
    pub(super) fn readable(&mut self, token: usize, now: Instant) {
        for _ in 0..RECEIVED_MAX {
            let Some(busy) = self.lines.get(token) else { return };
            let received = busy.line.receive(&mut self.buffer);
            match (received, &busy.state) {
                (Received::Nothing, _) => return,
                (Received::Stranger, _) => self.outbox.stray(Stray::Stranger),
                (Received::Reply(len), State::Asked(subject)) => {
                    self.outbox.settle(subject, Ok(&self.buffer[..len]));
                    self.rest(token, now);
                }
                (Received::TooLong, State::Asked(subject)) => {
                    self.outbox.settle(subject, Err(Unanswered::TooLong));
                    self.rest(token, now);
                }
                (Received::Refused(error), State::Asked(subject)) => {
                    self.outbox.settle(subject, Err(Unanswered::NotHandedOn(error)));
                    self.rest(token, now);
                }
                (Received::Refused(_), State::Deaf) => self.outbox.stray(Stray::NotHandedOn),
                // It has been told of a message that met nobody, or of the end of an application that was.
                (Received::Refused(_), _) => {}
                (Received::Reply(_) | Received::TooLong, State::Resting) => {
                    self.outbox.stray(Stray::Repeated)
                }
                (Received::Reply(_) | Received::TooLong, State::Retired) => self.outbox.stray(Stray::Late),
                (Received::Reply(_) | Received::TooLong, State::Deaf) => self.outbox.stray(Stray::Unawaited),
            }
        }
        // There may be more, of which the kernel tells again when it is asked anew.
        self.lines.look_again(token);
    }

    /// Does what time and free lines allow.
    pub(super) fn turn(&mut self, now: Instant) {
        while let Some(token) = self.due(&self.asked, self.limits.timeout, now) {
            // The reply may be there, and not have been told of yet.
            self.readable(token, now);
            if self.asked.front() == Some(&token) {
                self.asked.pop_front();
                self.settle(token, Unanswered::TimedOut);
                self.retire(token, now);
            }
        }
        while let Some(token) = self.due(&self.retired, RETIREMENT, now) {
            self.retired.pop_front();
            self.lines.close(token);
        }
        if !self.lines.are_reusable() {
            while let Some(token) = self.due(&self.resting, REST, now) {
                self.resting.pop_front();
                self.lines.close(token);
            }
        }
        self.full = None;
        while self.asked.len() < self.limits.concurrency {
            let Some(job) = self.next_waiting() else { break };
            if !self.ask(job.subject, &job.payload, now) {
                self.waiting_bytes += job.payload.len();
                self.waiting.push_front(job);
                break;
            }
        }
    }

    /// When the next [`turn`](Self::turn) has something to do, if nothing comes before.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = |queue: &VecDeque<usize>, after: Duration| {
            self.lines.get(*queue.front()?)?.since.checked_add(after)
        };
        let resting = due(&self.resting, REST).filter(|_| !self.lines.are_reusable());
        let full = self.full.and_then(|since| since.checked_add(RETRY));
        [due(&self.asked, self.limits.timeout), due(&self.retired, RETIREMENT), resting, full]
            .into_iter()
            .flatten()
            .min()
    }

    /// Messages that wait for a line, or for a reply.
    pub(super) fn left(&self) -> usize {
        self.waiting.len() + self.asked.len()
    }

    /// Waits for no reply any more. What has not been handed on is, once more without waiting for an answer.
    pub(super) fn stop(&mut self, now: Instant) {
        while let Some(token) = self.asked.pop_front() {
            self.settle(token, Unanswered::Stopped);
            self.retire(token, now);
        }
        let mut takes = true;
        while let Some(job) = self.next_waiting() {
            self.outbox.settle(&job.subject, Err(Unanswered::Stopped));
            // An application that has not taken one is not waited for again.
            if takes {
                takes = self.hand_on(&job.payload, now);
            } else {
                self.outbox.stray(Stray::NotHandedOn);
            }
        }
    }

    fn next_waiting(&mut self) -> Option<Job<S>> {
        let job = self.waiting.pop_front()?;
        self.waiting_bytes -= job.payload.len();
        Some(job)
    }

    /// Hands a message on by a line of its own; returns `false` if it has to wait, because the application's
    /// socket is full.
    fn ask(&mut self, subject: S, payload: &[u8], now: Instant) -> bool {
        let sent = self.unused(now).and_then(|token| {
            let sent = self.lines.send(token, payload);
            if sent.is_err() {
                self.lines.close(token);
            }
            sent.map(|()| token)
        });
        match sent {
            Ok(token) => {
                self.lines.set(token, State::Asked(subject), now);
                self.asked.push_back(token);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.full = Some(now);
                return false;
            }
            Err(error) => self.outbox.settle(&subject, Err(Unanswered::NotHandedOn(error))),
        }
        true
    }

    /// Hands a message on without an answer.
    fn refuse(&mut self, subject: &S, payload: &[u8], why: Unanswered, now: Instant) {
        self.outbox.settle(subject, Err(why));
        self.hand_on(payload, now);
    }

    /// Hands on what is not to be answered; returns whether the application has taken it.
    fn hand_on(&mut self, payload: &[u8], now: Instant) -> bool {
        let mut handed_on = self.try_hand_on(payload, now);
        if handed_on.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            // The application may have been started anew.
            self.deaf.take().into_iter().for_each(|token| self.lines.close(token));
            handed_on = self.try_hand_on(payload, now);
        }
        if handed_on.is_err() {
            self.outbox.stray(Stray::NotHandedOn);
        }
        handed_on.is_ok()
    }

    fn try_hand_on(&mut self, payload: &[u8], now: Instant) -> io::Result<()> {
        let token = match self.deaf {
            Some(token) => token,
            None => self.lines.open(true, now)?,
        };
        self.deaf = Some(token);
        self.lines.send(token, payload)
    }

    /// A line that nothing is under way on.
    fn unused(&mut self, now: Instant) -> io::Result<usize> {
        let rested = self.due(&self.resting, REST, now).is_some();
        if rested || self.resting.len() >= RESTING_MAX {
            let oldest = self.resting.pop_front();
            if let Some(token) = oldest {
                // What came by it meanwhile belongs to the message before.
                self.readable(token, now);
                if self.lines.are_reusable() {
                    return Ok(token);
                }
                self.lines.close(token);
            }
        }
        let opened = self.lines.open(false, now);
        if opened.is_err() {
            // There may be too many open already: those that are only kept for safety go first.
            if let Some(token) = self.retired.pop_front().or_else(|| self.resting.pop_front()) {
                self.lines.close(token);
                return self.lines.open(false, now);
            }
        }
        opened
    }

    /// The message of a line has its reply.
    fn rest(&mut self, token: usize, now: Instant) {
        // Replies come about in the order of the messages: it is near the front.
        if let Some(at) = self.asked.iter().position(|asked| *asked == token) {
            self.asked.remove(at);
        }
        self.lines.set(token, State::Resting, now);
        self.resting.push_back(token);
    }

    /// The message under way on a line has no reply.
    fn settle(&self, token: usize, why: Unanswered) {
        if let Some(Busy { state: State::Asked(subject), .. }) = self.lines.get(token) {
            self.outbox.settle(subject, Err(why));
        }
    }

    /// A reply to the message of a line, which is no longer among those asked, would come too late.
    fn retire(&mut self, token: usize, now: Instant) {
        self.lines.set(token, State::Retired, now);
        self.retired.push_back(token);
        if self.retired.len() > RETIRED_MAX {
            self.retired.pop_front().into_iter().for_each(|oldest| self.lines.close(oldest));
        }
    }

    /// The first of a queue, if it has been there for long enough.
    fn due(&self, queue: &VecDeque<usize>, after: Duration, now: Instant) -> Option<usize> {
        let token = *queue.front()?;
        let since = self.lines.get(token)?.since;
        (now.saturating_duration_since(since) >= after).then_some(token)
    }
}
