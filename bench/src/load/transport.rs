//! The sending side of a system.

use std::io;
use std::time::Duration;

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
