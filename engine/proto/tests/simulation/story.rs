//! What happens in a world, told to whoever replays its seed.

/// Tells, or keeps silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Story {
    pub(crate) told: bool,
    pub(crate) now_ns: u64,
}

impl Story {
    #[inline]
    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            let us = self.now_ns / 1_000;
            println!("{:>9}.{:03} ms  {}", us / 1_000, us % 1_000, what());
        }
    }
}
