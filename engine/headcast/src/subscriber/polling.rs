//! A subscriber in a mio poll: its socket, and the timer for what it does by itself.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::Subscriber;

impl mio::event::Source for Subscriber {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.timer.as_fd().as_raw_fd()).register(registry, token, Interest::READABLE)?;
        SourceFd(&self.socket.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.timer.as_fd().as_raw_fd()).reregister(registry, token, Interest::READABLE)?;
        SourceFd(&self.socket.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.timer.as_fd().as_raw_fd()).deregister(registry)?;
        SourceFd(&self.socket.as_raw_fd()).deregister(registry)
    }
}
