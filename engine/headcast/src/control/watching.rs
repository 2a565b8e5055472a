//! The thread that notices when a way changes, apart from the one that asks for peers: a lookup may take seconds.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::assembling::Assembler;
use crate::clock;

/// How often a look is taken at what nobody tells: whether a set was given back, whether the socket has failed.
const TICK: Duration = Duration::from_millis(50);
/// What comes within this time is one change.
const SETTLE: Duration = Duration::from_millis(5);
/// Between two looks at the neighbours while one of them waits to be confirmed, in ns: at first, and at most. It
/// doubles while they stay as they are, as when nothing is sent. Some 5 s after the first datagram the kernel tells
/// by itself.
const STALE_MIN_NS: u64 = 200_000_000;
const STALE_MAX_NS: u64 = 5_000_000_000;
/// Between two looks at everything: paths' MTUs, and whatever else is not told, in ns.
const ALL_NS: u64 = 10_000_000_000;
/// How long after an error everything is read again, in ns.
const AFTER_ERROR_NS: u64 = 1_000_000_000;
/// A change is looked at after so many times as long as the last one took: a network that never rests does not keep
/// this thread busy.
const REST: u64 = 5;

/// The running thread; it ends with this.
pub(super) struct Watch {
    /// Whose end tells the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(assembler: &Assembler) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let news = match &assembler.lock().ways {
            Some(ways) => ways.routes.as_fd().try_clone_to_owned()?,
            None => return Ok(Self { stop: None, thread: None }),
        };
        let watcher = Watcher {
            assembler: assembler.clone(),
            news,
            stopped,
            stale_ns: 0,
            stale_wait_ns: STALE_MIN_NS,
            all_ns: clock::mono_ns(),
        };
        let thread =
            std::thread::Builder::new().name("headcast-routes".into()).spawn(move || watcher.run())?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed.
            let _ = thread.join();
        }
    }
}

struct Watcher {
    assembler: Assembler,
    news: OwnedFd,
    stopped: UnixStream,
    /// When neighbours and everything were last read.
    stale_ns: u64,
    all_ns: u64,
    /// How long after the neighbours were read they are read again, if one is stale.
    stale_wait_ns: u64,
}

impl Watcher {
    fn run(mut self) {
        while !self.wait() {
            let start_ns = clock::mono_ns();
            if self.look(start_ns) {
                let took_ns = clock::mono_ns().saturating_sub(start_ns);
                self.rest(SETTLE.max(Duration::from_nanos(REST.saturating_mul(took_ns))));
            }
        }
    }

    /// Does nothing for so long, or until it is to stop.
    fn rest(&self, time: Duration) {
        let mut fds = [PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN)];
        // Whoever is interrupted rests less.
        let _ = poll(&mut fds, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
    }

    /// Waits for news, or for a while; returns whether to stop.
    fn wait(&mut self) -> bool {
        let mut fds = [
            PollFd::new(self.news.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN),
        ];
        let told =
            poll(&mut fds, PollTimeout::try_from(TICK).unwrap_or(PollTimeout::ZERO)).is_ok_and(|n| n > 0);
        let stopped = fds[1].any().unwrap_or(false);
        if told && !stopped {
            std::thread::sleep(SETTLE);
        }
        // The other end says nothing: that there is something to read means that it is gone.
        stopped && self.stopped.read(&mut [0]).is_ok_and(|read| read == 0)
    }

    /// Takes in what has changed; returns whether anything has.
    fn look(&mut self, now_ns: u64) -> bool {
        let mut assembler = self.assembler.lock();
        assembler.collect();
        let Some(ways) = &mut assembler.ways else { return false };
        let mut result = ways.routes.update();
        let mut reads_stale = false;
        if now_ns.saturating_sub(self.all_ns) >= ALL_NS {
            self.all_ns = now_ns;
            result = result.and_then(|_| ways.routes.read_all()).map(|()| true);
        } else if ways.routes.is_stale() && now_ns.saturating_sub(self.stale_ns) >= self.stale_wait_ns {
            self.stale_ns = now_ns;
            reads_stale = true;
            result = result.and_then(|_| ways.routes.read_neighbours()).map(|()| true);
        }
        let is_told = result.unwrap_or_else(|error| {
            tracing::debug!("the routes cannot be read: {error}");
            // What was told before is taken in, and what may have been missed is read soon.
            self.all_ns = now_ns.saturating_sub(ALL_NS).saturating_add(AFTER_ERROR_NS);
            true
        });
        let looks = is_told || ways.is_to_be_retried();
        if looks {
            let changed = assembler.look_again(is_told);
            if changed {
                self.stale_wait_ns = STALE_MIN_NS;
            } else if reads_stale {
                self.stale_wait_ns = (2 * self.stale_wait_ns).min(STALE_MAX_NS);
            }
        }
        looks
    }
}
