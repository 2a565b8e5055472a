//! AF_XDP: whole frames straight to the interface's driver, past the IP stack.
//!
//! ```text
//!   Template    headers of one peer, prepared by the control thread
//!      + payload (its sum taken once per message)
//!   -> frame    a piece of memory that the kernel has locked
//!   -> TX ring  where it lies and how long it is
//!   -> sendto   the kernel copies each frame into a packet and hands it to the driver
//!   <- completion ring: the frame is free again; read without a system call
//! ```
//!
//! Copy mode, no XDP program: nearly any driver will do, and CAP_NET_RAW is all that it takes. What is passed by
//! with the IP stack is routing, neighbours, firewall rules and queueing: who is on a [`Lane`] must have been
//! found by [`Routes`](crate::Routes), and be taken off it when that changes.

mod checksum;
mod error;
mod frame;
mod lane;
mod memory;
mod rings;
mod socket;
mod umem;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

pub use error::XdpError;
pub use frame::{NextHop, Template};
pub use lane::Lane;
use rings::{CompletionRing, TxRing};
use socket::Parts;
use umem::Umem;

/// Bytes of a frame's memory; the least that the kernel takes (`XDP_UMEM_MIN_CHUNK_SIZE`).
const FRAME: usize = 2048;
/// Frames, if so many can be locked: 4 MiB, half of the limit that a process usually has.
const FRAMES_MAX: u32 = 2048;
/// The least: 128 KiB. With fewer, a call would send so few that nothing was won.
const FRAMES_MIN: u32 = 64;
const _: () = assert!(FRAMES_MAX.is_power_of_two() && FRAMES_MIN.is_power_of_two());
const _: () = assert!(FRAME > frame::HEADER_MAX);
/// The most frames that one call sends on a kernel that cannot be told another number (`TX_BATCH_SIZE`,
/// `net/xdp/xsk.c`).
const CALL_MAX_BEFORE_6_17: u32 = 32;

/// A socket that sends frames by one queue of one interface.
pub struct Xdp {
    fd: OwnedFd,
    umem: Umem,
    tx: TxRing,
    completions: CompletionRing,
    interface: u32,
    queue: u32,
    /// Frames that the driver dropped, which the kernel has not yet said to have taken: it does with the next
    /// frame.
    dropped: usize,
    /// Whether the kernel says after every call what it has taken, as it does since Linux 6.17. Older ones say it
    /// when the ring is empty, but not when they stop before that.
    is_prompt: bool,
}

/// What one call to send did.
enum Kick {
    /// Go on: frames were taken.
    Progress,
    /// The driver dropped a frame.
    Dropped,
    /// None was taken: later.
    Stuck,
    /// The interface is gone or down.
    Fatal(Errno),
}

impl Xdp {
    /// Opens a socket for the interface with this index, on one of its `queues` for transmission. `send_buffer`
    /// bounds the bytes of packets that the driver has not sent yet, within what the system allows.
    ///
    /// # Errors
    /// What is missing.
    pub fn open(interface: u32, queues: u32, send_buffer: usize) -> Result<Self, XdpError> {
        let Parts { fd, umem, tx, completions, queue, is_prompt } =
            socket::open(interface, queues, send_buffer)?;
        Ok(Self { fd, umem, tx, completions, interface, queue, dropped: 0, is_prompt })
    }

    /// Whether this process may have such a socket at all: capability, kernel and memory. Only
    /// [`open`](Self::open) can tell of the interface.
    ///
    /// # Errors
    /// What is missing.
    pub fn probe() -> Result<(), XdpError> {
        socket::probe()
    }

    /// The index of the interface.
    #[must_use]
    pub fn interface(&self) -> u32 {
        self.interface
    }

    /// Which of its transmit queues.
    #[must_use]
    pub fn queue(&self) -> u32 {
        self.queue
    }

    /// How many frames there are.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.umem.frames()
    }

    /// How many frames are on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.umem.in_flight()
    }

    /// Takes back the frames that were sent.
    #[inline]
    fn reap(&mut self) {
        let umem = &mut self.umem;
        self.completions.drain(|address| {
            let known = umem.give_back(address);
            debug_assert!(known, "the kernel gives back what it was given");
        });
    }

    /// After how many calls without a word of progress there was none, with so many frames in the ring.
    #[cold]
    fn silent_calls_max(&self, unconsumed: u32) -> u32 {
        if self.is_prompt { 1 } else { unconsumed.div_ceil(CALL_MAX_BEFORE_6_17) + 1 }
    }

    /// Has the kernel send what is in the ring.
    #[inline]
    fn kick(&mut self) -> Kick {
        let before = self.tx.unconsumed();
        // SAFETY: no data and no name. The descriptor is ours.
        let sent = unsafe {
            libc::sendto(self.fd.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
        };
        let progress = self.tx.unconsumed() != before;
        match Errno::result(sent) {
            // Without a word and without progress: the queue does not exist any more.
            Ok(_) if !progress => Kick::Fatal(Errno::ENXIO),
            Err(Errno::EBUSY) => Kick::Dropped,
            Ok(_) | Err(Errno::EINTR) => Kick::Progress,
            // The most for one call was sent; or the driver, the completion ring or the send buffer is full.
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) if progress => Kick::Progress,
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => Kick::Stuck,
            Err(errno) => Kick::Fatal(errno),
        }
    }
}

impl AsFd for Xdp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
