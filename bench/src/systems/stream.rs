//! A TCP connection on which somebody's protocol is spoken.

mod ends;
mod inbox;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use headcast::clock::mono_ns;
use mio::net::TcpStream;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

pub use ends::{Publisher, Subscriber};
pub use inbox::Inbox;

/// Bytes that one read takes at most, and the longest frame that can come.
pub const READ_MAX: usize = 256 << 10;
/// Between connecting and being ready, at most.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// So long the other side may leave a full socket alone.
const ROOM_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of answers that the other side may have asked for and not read.
const UNREAD_MAX: usize = 64 << 10;

/// What somebody makes of the bytes that come on a connection.
pub trait Protocol {
    /// Who is at the other end, as errors name it.
    const PEER: &'static str;

    /// What is said first.
    fn hello(&mut self, out: &mut Vec<u8>);

    /// Takes the complete frames at the front of `bytes`: hands every payload on, and writes to `out` what has to be
    /// answered. Returns how many bytes it took; what it left is there again, with more behind it. Takes nothing beyond
    /// the frame that makes it ready, so that no payload behind that is taken for one from before.
    ///
    /// # Errors
    /// When the bytes are not this protocol, or the other side has complained.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, deliver: &mut impl FnMut(&[u8]))
    -> io::Result<usize>;

    /// Whether the other side has agreed to everything that was asked of it.
    fn is_ready(&self) -> bool;

    /// What it counts, by name.
    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

/// A protocol that also sends messages.
pub trait Encode: Protocol {
    /// Appends a message.
    fn encode(&mut self, payload: &[u8], out: &mut Vec<u8>);

    /// Answers that are still to come.
    fn owed(&self) -> u64 {
        0
    }
}

/// One end of a connection that does not block.
#[derive(Debug)]
pub struct Connection<P> {
    stream: TcpStream,
    address: SocketAddr,
    protocol: P,
    inbox: Inbox,
    /// What is still to be written: whole frames, apart from the first one, of which a part may be gone.
    out: Vec<u8>,
}

impl<P: Protocol> Connection<P> {
    /// Connects, and waits for at most five seconds until the other side is ready.
    ///
    /// # Errors
    /// When nobody answers, or something else than what was hoped for; names the address.
    pub fn open(address: SocketAddr, protocol: P) -> io::Result<Self> {
        Self::open_within(READY_WITHIN, address, protocol)
    }

    fn open_within(within: Duration, address: SocketAddr, mut protocol: P) -> io::Result<Self> {
        let named = |error| named::<P>(address, &error);
        let stream = std::net::TcpStream::connect_timeout(&address, within).map_err(named)?;
        // A message is not to wait for the one after it.
        stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).map_err(named)?;
        let mut out = Vec::with_capacity(UNREAD_MAX);
        protocol.hello(&mut out);
        let stream = TcpStream::from_std(stream);
        let mut connection = Self { stream, address, protocol, inbox: Inbox::new(READ_MAX), out };
        connection.wait_until_ready(within).map_err(named)?;
        Ok(connection)
    }

    fn wait_until_ready(&mut self, within: Duration) -> io::Result<()> {
        let end_ns = mono_ns() + nanos(within);
        loop {
            self.write_all()?;
            if self.protocol.is_ready() {
                return Ok(());
            }
            let left = Duration::from_nanos(end_ns.saturating_sub(mono_ns()));
            if left.is_zero() {
                let what = format!("it did not answer as it should within {within:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            if self.wait(PollFlags::POLLIN, left)?.is_some() {
                self.read(&mut |_| {})?;
            }
        }
    }

    /// Reads once, takes what came, and answers as far as there is room; returns whether there may be more to read.
    ///
    /// # Errors
    /// When nothing will come any more; names the address.
    #[inline]
    pub fn receive(&mut self, deliver: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        self.read(deliver).map_err(|error| named::<P>(self.address, &error))
    }

    /// Writes out everything, and waits for room if it has to. What comes meanwhile is taken.
    ///
    /// # Errors
    /// When the other side is gone, or makes no room for ten seconds; names the address.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write_all().map_err(|error| named::<P>(self.address, &error))
    }

    /// Waits for at most `wait` for something to come, and takes it; returns whether there was something.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn attend(&mut self, wait: Duration) -> io::Result<bool> {
        let attended = self.wait(PollFlags::POLLIN, wait).and_then(|came| match came {
            Some(_) => self.read(&mut |_| {}).map(|_| true),
            None => Ok(false),
        });
        attended.map_err(|error| named::<P>(self.address, &error))
    }

    #[inline]
    fn read(&mut self, deliver: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        let more = self.inbox.fill(&mut self.stream)?;
        self.inbox.take(&mut self.protocol, &mut self.out, deliver)?;
        if !self.out.is_empty() {
            self.write_some()?;
        }
        Ok(more)
    }

    /// What there is room for.
    fn write_some(&mut self) -> io::Result<()> {
        match self.stream.write(&self.out) {
            Ok(count) => drop(self.out.drain(..count)),
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
        if self.out.len() > UNREAD_MAX + READ_MAX {
            return Err(io::Error::other("it asks for answers and does not read them"));
        }
        Ok(())
    }

    fn write_all(&mut self) -> io::Result<()> {
        let mut written = 0;
        // Answers to what comes meanwhile are appended.
        while written < self.out.len() {
            match self.stream.write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(error) if is_later(&error) => {
                    let flags = PollFlags::POLLIN | PollFlags::POLLOUT;
                    let Some(ready) = self.wait(flags, ROOM_WITHIN)? else {
                        let what = format!("it has not read anything for {ROOM_WITHIN:?}");
                        return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                    };
                    if ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
                        self.inbox.fill(&mut self.stream)?;
                        self.inbox.take(&mut self.protocol, &mut self.out, &mut |_| {})?;
                    }
                }
                Err(error) => return Err(self.reason(error)),
            }
        }
        self.out.clear();
        Ok(())
    }

    /// Why writing failed: what the other side said last, if it said something.
    fn reason(&mut self, error: io::Error) -> io::Error {
        let read = self.inbox.fill(&mut self.stream);
        let taken = self.inbox.take(&mut self.protocol, &mut self.out, &mut |_| {});
        taken.and(read).err().unwrap_or(error)
    }

    /// What there is to be done, or `None` if there was nothing in that time.
    fn wait(&self, flags: PollFlags, wait: Duration) -> io::Result<Option<PollFlags>> {
        let mut polled = [PollFd::new(self.stream.as_fd(), flags)];
        match ppoll(&mut polled, Some(wait.into()), None) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(polled[0].revents().unwrap_or(flags))),
            // A signal; whoever waits for longer will call again.
            Err(Errno::EINTR) => Ok(Some(PollFlags::empty())),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Whether it is only not possible yet.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn named<P: Protocol>(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} at {address}: {error}", P::PEER))
}
