//! Answers by a command: it is run for each message, reads it from its standard input, and writes the response to
//! its standard output.
//!
//! A fixed number of threads run one command each at a time; the subscriber only puts messages into their backlog.

mod command;

use std::io::{self, PipeReader, PipeWriter};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::answer::{Job, Outbox, Subject, Unanswered};
use super::backlog::Backlog;
pub(super) use command::Recipe;

/// How long commands that have been killed are waited for.
const GRACE: Duration = Duration::from_secs(2);

/// Commands, and the messages that wait for them.
pub(super) struct Exec<S> {
    shared: Arc<Shared<S>>,
    /// To drop it is to end all commands.
    lifeline: Mutex<Option<PipeWriter>>,
}

struct Shared<S> {
    recipe: Recipe,
    backlog: Backlog<S>,
    outbox: Outbox<S>,
    /// Its other end is [`Exec::lifeline`].
    lifeline: PipeReader,
}

impl<S: Subject> Exec<S> {
    /// Starts the threads: `concurrency` commands run at once, and `backlog` messages may wait beside them.
    ///
    /// # Errors
    /// A thread or a pipe cannot be had, or the kernel cannot tell when a process ends.
    pub(super) fn start(
        recipe: Recipe,
        concurrency: usize,
        backlog: usize,
        outbox: Outbox<S>,
    ) -> io::Result<Self> {
        command::check_kernel()?;
        let (reader, writer) = io::pipe()?;
        let shared = Arc::new(Shared { recipe, backlog: Backlog::new(backlog), outbox, lifeline: reader });
        let exec = Self { shared, lifeline: Mutex::new(Some(writer)) };
        for number in 0..concurrency {
            let shared = Arc::clone(&exec.shared);
            let name = format!("headcast-exec-{number}");
            std::thread::Builder::new().name(name).spawn(move || shared.work())?;
        }
        Ok(exec)
    }

    /// Has a message answered, now or later; one for which there is no room is refused at once.
    pub(super) fn ask(&self, subject: S, payload: &[u8]) {
        if let Err(job) = self.shared.backlog.offer(Job { subject, payload: payload.into() }) {
            self.shared.outbox.settle(&job.subject, Err(Unanswered::Backlog));
        }
    }

    /// How many messages wait or are being answered.
    pub(super) fn left(&self) -> usize {
        self.shared.backlog.left()
    }

    /// Lets commands finish until `end`, those that have not begun as well; then kills what runs. Takes no more.
    pub(super) fn finish(&self, end: Instant) {
        let backlog = &self.shared.backlog;
        backlog.close();
        if backlog.wait_idle(end) == 0 {
            return;
        }
        for job in backlog.clear() {
            self.shared.outbox.settle(&job.subject, Err(Unanswered::Stopped));
        }
        self.cut();
        if let Some(end) = end.checked_add(GRACE) {
            backlog.wait_idle(end);
        }
    }

    fn cut(&self) {
        drop(self.lifeline.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl<S> Drop for Exec<S> {
    /// The threads end by themselves, and no command outlives them.
    fn drop(&mut self) {
        self.shared.backlog.close();
    }
}

impl<S: Subject> Shared<S> {
    fn work(&self) {
        let mut output = Vec::new();
        while let Some(job) = self.backlog.take() {
            let result = self.recipe.run(&job, &mut output, &self.lifeline);
            self.outbox.settle(&job.subject, result.map(|()| output.as_slice()));
            self.backlog.done();
        }
    }
}

#[cfg(test)]
mod tests;
