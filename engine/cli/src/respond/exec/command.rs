//! One command, from its start to its end.
//!
//! Its own process group makes sure that nothing of it is left: the group is killed when the time is over, and
//! also when the command has ended and has left something behind. That is done before the command is waited for, as
//! long as its process id, which is the group's as well, cannot have been given to anybody else.

use std::ffi::OsString;
use std::io::{self, ErrorKind, PipeReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mio::unix::pipe;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process_group, pidfd_open};

use crate::report;
use crate::respond::answer::{ANSWER_MAX, Job, Subject, Unanswered};

/// How long the end of a killed command is waited for. One that hangs in the kernel may take longer; then it is
/// left to itself.
const BURIAL_MAX: Duration = Duration::from_secs(1);

/// Bytes that are read at once: what a pipe holds (`pipe(7)`).
const CHUNK: usize = 65_536;

/// What is run for each message.
#[derive(Clone, Debug)]
pub(in crate::respond) struct Recipe {
    /// The program; it is looked for in PATH unless it has a slash.
    pub(in crate::respond) program: OsString,
    /// Its arguments.
    pub(in crate::respond) arguments: Vec<OsString>,
    /// The longest that it may run.
    pub(in crate::respond) timeout: Duration,
}

/// Whether the kernel tells when a process ends.
///
/// # Errors
/// It does not: it is older than Linux 5.3, or a policy forbids it.
pub(super) fn check_kernel() -> io::Result<()> {
    pidfd_open(getpid(), PidfdFlags::empty()).map(drop).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(
            error.kind(),
            format!("the kernel does not tell when a command ends (pidfd_open, since Linux 5.3): {error}"),
        )
    })
}

impl Recipe {
    /// Runs the command for one message. What it writes is in `output`, all of it if it has ended well. A
    /// `lifeline` whose other end is closed ends it.
    pub(super) fn run<S: Subject>(
        &self,
        job: &Job<S>,
        output: &mut Vec<u8>,
        lifeline: &PipeReader,
    ) -> Result<(), Unanswered> {
        output.clear();
        let end = report::now().checked_add(self.timeout);
        let mut running = Running::start(self, job)?;
        let exited = running.attend(&job.payload, output, lifeline, end);
        let status = running.bury().map_err(Unanswered::Unwatched);
        exited?;
        match status? {
            status if status.success() => Ok(()),
            status => Err(match status.signal() {
                Some(signal) => Unanswered::Signalled(signal),
                None => Unanswered::Exited(status.code().unwrap_or(-1)),
            }),
        }
    }
}

/// A command, the ends of its pipes, and what tells its end.
struct Running {
    child: Child,
    pid: Pid,
    /// Readable when the command has ended.
    ended: OwnedFd,
    input: Option<pipe::Sender>,
    output: Option<pipe::Receiver>,
}

impl Running {
    fn start<S: Subject>(recipe: &Recipe, job: &Job<S>) -> Result<Self, Unanswered> {
        let mut child = Command::new(&recipe.program)
            .args(&recipe.arguments)
            .envs(job.subject.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(Unanswered::NotStarted)?;
        let pid = Pid::from_child(&child);
        let input = child.stdin.take().map(pipe::Sender::from);
        let output = child.stdout.take().map(pipe::Receiver::from);
        let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from);
        let ended = ended.and_then(|ended| {
            input.iter().try_for_each(|input| input.set_nonblocking(true))?;
            output.iter().try_for_each(|output| output.set_nonblocking(true))?;
            Ok(ended)
        });
        match ended {
            Ok(ended) => Ok(Self { child, pid, ended, input, output }),
            Err(error) => {
                let _ = kill_process_group(pid, Signal::KILL);
                // It has been killed; to wait keeps no zombie.
                let _ = child.wait();
                Err(Unanswered::Unwatched(error))
            }
        }
    }

    /// Feeds it and reads from it until it has ended.
    fn attend(
        &mut self,
        mut payload: &[u8],
        output: &mut Vec<u8>,
        lifeline: &PipeReader,
        end: Option<Instant>,
    ) -> Result<(), Unanswered> {
        loop {
            self.feed(&mut payload);
            let ended = self.wait(lifeline, end)?;
            // What it wrote before its end is in the pipe by now.
            self.read(output)?;
            if ended {
                return Ok(());
            }
        }
    }

    /// Waits until something can be done; returns whether the command has ended.
    fn wait(&self, lifeline: &PipeReader, end: Option<Instant>) -> Result<bool, Unanswered> {
        let left = end.map(|end| end.saturating_duration_since(report::now()));
        if left == Some(Duration::ZERO) {
            return Err(Unanswered::TimedOut);
        }
        let mut watched = vec![PollFd::new(&self.ended, PollFlags::IN), PollFd::new(lifeline, PollFlags::IN)];
        watched.extend(self.output.as_ref().map(|output| PollFd::new(output, PollFlags::IN)));
        watched.extend(self.input.as_ref().map(|input| PollFd::new(input, PollFlags::OUT)));
        match poll(&mut watched, left.and_then(|left| Timespec::try_from(left).ok()).as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Unanswered::Unwatched(errno.into())),
        }
        let ready = |at: usize| !watched[at].revents().is_empty();
        if ready(1) && !ready(0) { Err(Unanswered::Stopped) } else { Ok(ready(0)) }
    }

    /// Gives it as much of the message as it takes. It need not take all.
    fn feed(&mut self, payload: &mut &[u8]) {
        while let Some(input) = &mut self.input {
            match input.write(payload) {
                Ok(written) if written < payload.len() => *payload = &payload[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // All of it, or it does not read on.
                Ok(_) | Err(_) => self.input = None,
            }
        }
    }

    /// Takes what it has written.
    fn read(&mut self, output: &mut Vec<u8>) -> Result<(), Unanswered> {
        while let Some(from) = &mut self.output {
            let before = output.len();
            output.resize(before + CHUNK, 0);
            let read = from.read(&mut output[before..]);
            output.truncate(before + read.as_ref().map_or(0, |read| *read));
            if output.len() > ANSWER_MAX {
                return Err(Unanswered::TooLong);
            }
            match read {
                Ok(0) => self.output = None,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Unanswered::Unwatched(error)),
            }
        }
        Ok(())
    }

    /// Kills what is left of it, and reaps it.
    fn bury(mut self) -> io::Result<ExitStatus> {
        // Nobody may be left in the group, which is as good.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let mut ended = [PollFd::new(&self.ended, PollFlags::IN)];
        let end = report::now().checked_add(BURIAL_MAX);
        loop {
            let left = end.map(|end| end.saturating_duration_since(report::now())).unwrap_or_default();
            match poll(&mut ended, Timespec::try_from(left).ok().as_ref()) {
                Ok(0) => return Err(io::Error::new(ErrorKind::TimedOut, "it was killed, and does not end")),
                Ok(_) => return self.child.wait(),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
