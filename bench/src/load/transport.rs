//! The sending side of a system.

use std::io;
use std::time::Duration;

/// A wait of more than this may sleep; what is left of it is spun away, for a sleep ends late.
pub const SPIN: Duration = Duration::from_micros(80);

/// Takes messages that are to reach every receiver.
pub trait Transport {
    /// Hands one message over, and may wait for room; `false` when it was not taken.
    ///
    /// # Errors
    /// When nothing can be sent any more.
    fn send(&mut self, payload: &[u8]) -> io::Result<bool>;

    /// Lets go of what was handed over and held back to go out together. Called as soon as no further message is due.
    ///
    /// # Errors
    /// When nothing can be sent any more.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Waits for at most `wait`, which may be nothing, and does what there is to do meanwhile; returns whether it did
    /// anything.
    ///
    /// # Errors
    /// When nothing can be sent any more.
    fn idle(&mut self, wait: Duration) -> io::Result<bool> {
        std::thread::sleep(wait);
        Ok(false)
    }

    /// Sends what is left to send: later copies, repairs that are asked for. Returns after at most `wait`.
    ///
    /// # Errors
    /// When nothing can be sent any more.
    fn finish(&mut self, wait: Duration) -> io::Result<()> {
        self.flush()?;
        std::thread::sleep(wait);
        Ok(())
    }

    /// What the system counts by itself, by name.
    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

/// Sleeps for the whole of every wait: what is due next goes out when the kernel wakes its sender, a little late, and what
/// is due in less than [`SPIN`] with it.
#[derive(Debug)]
pub struct Sleeping<'a, T>(pub &'a mut T);

impl<T: Transport> Transport for Sleeping<'_, T> {
    fn send(&mut self, payload: &[u8]) -> io::Result<bool> {
        self.0.send(payload)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn idle(&mut self, wait: Duration) -> io::Result<bool> {
        // That much of every wait was left to be spun away.
        self.0.idle(wait + SPIN)
    }

    fn finish(&mut self, wait: Duration) -> io::Result<()> {
        self.0.finish(wait)
    }

    fn counters(&self) -> Vec<(String, u64)> {
        self.0.counters()
    }
}
