//! Both sides of a load, on a connection each.

use std::io;
use std::time::Duration;

use headcast::clock::mono_ns;
use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::{Connection, Encode, Protocol, nanos};
use crate::load::{Reader, Transport};

/// Messages are held back for the flush, but no more bytes of them than this.
const HOLD_MAX: usize = 32 << 10;
/// After so many flushes, or with so many answers to come, the publisher looks at what has come, even if it never has
/// time to wait.
const LOOK_EVERY: u64 = 64;

/// Sends messages to a server.
#[derive(Debug)]
pub struct Publisher<P> {
    connection: Connection<P>,
    /// Since it last looked at what has come.
    flushes: u64,
}

impl<P: Encode> Publisher<P> {
    pub(crate) fn over(connection: Connection<P>) -> Self {
        Self { connection, flushes: 0 }
    }
}

impl<P: Encode> Transport for Publisher<P> {
    fn send(&mut self, payload: &[u8]) -> io::Result<bool> {
        let Connection { protocol, out, .. } = &mut self.connection;
        protocol.encode(payload, out);
        if out.len() > HOLD_MAX {
            self.flush()?;
        }
        Ok(true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.flush()?;
        self.flushes += 1;
        if self.flushes >= LOOK_EVERY || self.connection.protocol.owed() >= LOOK_EVERY {
            self.flushes = 0;
            self.connection.receive(&mut |_| {})?;
        }
        Ok(())
    }

    /// Nothing is done when there is no time to wait: a system call for each turn of a loop that spins would be work
    /// that no message needs.
    fn idle(&mut self, wait: Duration) -> io::Result<bool> {
        if wait.is_zero() { Ok(false) } else { self.connection.attend(wait) }
    }

    fn finish(&mut self, wait: Duration) -> io::Result<()> {
        self.connection.flush()?;
        let end_ns = mono_ns() + nanos(wait);
        loop {
            let left_ns = end_ns.saturating_sub(mono_ns());
            self.connection.attend(Duration::from_nanos(left_ns))?;
            if left_ns == 0 {
                return Ok(());
            }
        }
    }

    fn counters(&self) -> Vec<(String, u64)> {
        self.connection.protocol.counters()
    }
}

/// Has subscribed to [`TOPIC`](crate::systems::TOPIC), and takes what comes.
#[derive(Debug)]
pub struct Subscriber<P> {
    connection: Connection<P>,
}

impl<P: Protocol> Subscriber<P> {
    pub(crate) fn over(connection: Connection<P>) -> Self {
        Self { connection }
    }
}

impl<P: Protocol> Reader for Subscriber<P> {
    #[inline]
    fn read(&mut self, deliver: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        self.connection.receive(deliver)
    }

    fn counters(&self) -> Vec<(String, u64)> {
        self.connection.protocol.counters()
    }
}

impl<P> Source for Subscriber<P> {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.connection.stream.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.connection.stream.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.connection.stream.deregister(registry)
    }
}
