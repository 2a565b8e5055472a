//! The receiving side of a system.

use std::io;

/// One receiver: a socket, and the protocol that is spoken on it.
pub trait Reader: mio::event::Source {
    /// Reads what is there, a bounded part of it at most, and hands every payload on; returns whether there may be more.
    ///
    /// # Errors
    /// When nothing will come any more: the other side has closed, or does not speak the protocol.
    fn read(&mut self, deliver: &mut impl FnMut(&[u8])) -> io::Result<bool>;

    /// Datagrams that its socket has dropped because its buffer was full (`SO_RXQ_OVFL`), as far as is known.
    fn dropped(&self) -> u64 {
        0
    }

    /// What the system counts by itself, by name.
    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}
