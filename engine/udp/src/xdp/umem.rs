//! The frames: memory that the kernel reads what it sends from.

use std::num::NonZeroUsize;

use nix::errno::Errno;

use super::FRAME;
use super::memory::Mapping;

/// Frames of [`FRAME`] bytes, each either free or on its way.
pub(super) struct Umem {
    mapping: Mapping,
    /// The free ones. Its capacity is all of them, so it never allocates.
    free: Vec<u32>,
    frames: u32,
}

impl Umem {
    pub(super) fn new(frames: u32) -> Result<Self, Errno> {
        let len = NonZeroUsize::new(frames as usize * FRAME).ok_or(Errno::EINVAL)?;
        Ok(Self { mapping: Mapping::anonymous(len)?, free: (0..frames).rev().collect(), frames })
    }

    /// Where the kernel finds it: address and bytes.
    pub(super) fn area(&self) -> (u64, u64) {
        (self.mapping.base().addr().get() as u64, self.mapping.len() as u64)
    }

    /// Takes a free frame and has it filled; returns its address within the memory, and what `fill` returned.
    #[inline]
    pub(super) fn fill(&mut self, fill: impl FnOnce(&mut [u8; FRAME]) -> usize) -> Option<(u64, usize)> {
        let frame = self.free.pop()?;
        let address = frame as usize * FRAME;
        let mut memory = self.mapping.at::<[u8; FRAME]>(address);
        // SAFETY: within the mapping, as `at` asserts, and initialised, as mapped memory is. The frame was in
        // the list of the free ones: the kernel has not been told of it since it gave it back, so nobody else
        // reads or writes it, and this borrow ends before anybody is told. It gives a frame back when the packet
        // is freed: that holds as well for drivers that take no linear packets (IFF_TX_SKB_NO_LINEAR), whose
        // packets are not copies but point here until then.
        let memory = unsafe { memory.as_mut() };
        Some((address as u64, fill(memory)))
    }

    /// Takes back the frame at an address that the kernel is done with; returns whether it can be one.
    #[inline]
    pub(super) fn give_back(&mut self, address: u64) -> bool {
        let Some(frame) = u32::try_from(address / FRAME as u64).ok().filter(|frame| *frame < self.frames)
        else {
            return false;
        };
        let known = self.free.len() < self.frames as usize;
        if known {
            self.free.push(frame);
        }
        known
    }

    pub(super) fn frames(&self) -> u32 {
        self.frames
    }

    /// Frames that are on their way.
    pub(super) fn in_flight(&self) -> usize {
        self.frames as usize - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_taken_once_until_it_is_given_back() {
        let mut umem = Umem::new(4).expect("memory");
        let mut taken: Vec<u64> = std::iter::from_fn(|| {
            umem.fill(|frame| {
                frame.fill(1);
                frame.len()
            })
            .map(|(address, _)| address)
        })
        .collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 2048, 4096, 6144]);
        assert_eq!(umem.in_flight(), 4);
        assert!(umem.give_back(4096 + 42), "an address anywhere within it");
        assert_eq!(umem.fill(|_| 7), Some((4096, 7)));
        assert!(!umem.give_back(4 * 2048), "there is no such frame");
        taken.iter().for_each(|address| assert!(umem.give_back(*address)));
        assert!(!umem.give_back(0), "none is missing");
        assert_eq!(umem.in_flight(), 0);
    }
}
