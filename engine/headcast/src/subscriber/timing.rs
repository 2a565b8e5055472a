//! What a subscriber does by itself: it asks for repairs, gives up gaps, and wakes for that.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use headcast_proto::receiver::NAK_MAX;
use headcast_udp::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Before, Subscriber};
use crate::address::reachable;
use crate::clock;

impl Subscriber {
    /// Nothing is there to be received, as far as is known: does what is due, and arms the timer for the rest. Returns
    /// whether there may be something to hand on.
    pub(super) fn keep_time(&mut self) -> io::Result<bool> {
        self.behind = 0;
        self.show();
        // What is due has to wait for what has come meanwhile: it may be what was missing.
        let unsure = std::mem::take(&mut self.drained);
        if self.finishing && unsure {
            return Ok(true);
        }
        if self.finishing {
            self.finishing = self.receiver.finish();
            self.before = Before::Event;
            return Ok(true);
        }
        let deadline_ns = self.receiver.deadline_ns();
        if deadline_ns == u64::MAX && !self.timer.is_armed() {
            return Ok(false);
        }
        self.now = clock::now();
        if deadline_ns <= self.now.mono_ns {
            if !unsure {
                self.tick();
            }
            return Ok(true);
        }
        self.timer.arm(deadline_ns, self.now.mono_ns)?;
        Ok(false)
    }

    /// Gives up what has been missing for too long, and asks for what is due.
    pub(super) fn tick(&mut self) {
        self.behind = 0;
        self.receiver.tick(self.now);
        if self.receiver.has_more() {
            self.before = Before::Event;
        }
        self.ask();
    }

    /// Asks for what is due.
    #[cold]
    pub(super) fn ask(&mut self) {
        let mut datagram = [0; NAK_MAX];
        while let Some(request) = self.receiver.request(self.now, &mut datagram) {
            // It goes out of the socket that listens: publishers answer to the address that they send to.
            let sent = self.sources[request.place]
                .map(|source| self.socket.send_to(&datagram[..request.len], reachable(source, self.ipv6)));
            if !matches!(sent, Some(Ok(_))) {
                self.counters.requests_failed.add(1);
            }
        }
    }

    /// Shows what the receiver has counted.
    fn show(&self) {
        let (counters, stats) = (&self.counters, self.receiver.stats());
        counters.requests.set(stats.requests);
        counters.requested.set(stats.requested);
        counters.repaired.set(stats.repaired);
        counters.completed.set(stats.completed);
        counters.dropped_parts.set(stats.dropped_parts);
    }

    /// Waits until something is there or due, at most until `deadline_ns`; returns whether that is still to come.
    pub(super) fn wait_until(&self, deadline_ns: u64) -> io::Result<bool> {
        let left_ns = deadline_ns.saturating_sub(clock::mono_ns());
        if left_ns > 0 {
            self.wait(Some(Duration::from_nanos(left_ns)))?;
        }
        Ok(left_ns > 0)
    }

    /// Waits until something is there or due, at most for `timeout`; a signal ends the wait as well.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = match timeout {
            // Rounded up: not to return a moment too early and spin.
            Some(timeout) => {
                let ms = timeout.as_nanos().div_ceil(1_000_000);
                PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let mut fds = [self.socket.as_fd(), self.timer.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
