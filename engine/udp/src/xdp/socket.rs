//! Making the socket: memory, rings, binding, in the order that the kernel wants.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use libc::{c_int, sockaddr_xdp, socklen_t, xdp_mmap_offsets, xdp_ring_offset, xdp_umem_reg};
use nix::errno::Errno;

use super::rings::{CompletionRing, TxRing};
use super::umem::Umem;
use super::{FRAME, FRAMES_MAX, FRAMES_MIN, XdpError};

/// `XDP_MAX_TX_SKB_BUDGET` (`linux/if_xdp.h`, Linux 6.17): the most frames of one call, 32 without it.
const MAX_TX_SKB_BUDGET: c_int = 9;
/// Frames that are written before the kernel is called: the first peer should not wait for all the others'.
const TX_RING_MAX: u32 = 256;
/// The fill ring is for receiving, which we do not; but the kernel binds no socket without one.
const FILL_RING: u32 = 1;

/// The kernel lets go of a queue and of memory a moment after their socket was closed: how often to try, and how
/// long to wait in between.
const TRIES_MAX: u32 = 10;
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// A bound socket and what it shares with the kernel.
pub(super) struct Parts {
    pub(super) fd: OwnedFd,
    pub(super) umem: Umem,
    pub(super) tx: TxRing,
    pub(super) completions: CompletionRing,
    pub(super) queue: u32,
    pub(super) is_prompt: bool,
}

/// Makes a socket for the interface, on the first of its `queues` that has none yet.
pub(super) fn open(interface: u32, queues: u32, send_buffer: usize) -> Result<Parts, XdpError> {
    let mut tries = 1;
    loop {
        match try_open(interface, queues, send_buffer) {
            Err(XdpError::Busy | XdpError::Memory { .. }) if tries < TRIES_MAX => {
                tries += 1;
                std::thread::sleep(TRY_AGAIN);
            }
            result => return result,
        }
    }
}

fn try_open(interface: u32, queues: u32, send_buffer: usize) -> Result<Parts, XdpError> {
    let fd = socket()?;
    let setup = |what| move |errno| XdpError::Setup(what, errno);
    // What the kernel has of frames under way counts against this; more than the limit is not an error.
    socket2::SockRef::from(&fd).set_send_buffer_size(send_buffer).map_err(|error| {
        XdpError::Setup("size the send buffer", Errno::from_raw(error.raw_os_error().unwrap_or(0)))
    })?;
    let umem = register(fd.as_fd(), FRAMES_MAX)?;
    let frames = umem.frames();
    // As long as there are frames: it cannot overflow.
    set(fd.as_fd(), libc::XDP_UMEM_COMPLETION_RING, &frames).map_err(setup("make the completion ring"))?;
    set(fd.as_fd(), libc::XDP_UMEM_FILL_RING, &FILL_RING).map_err(setup("make the fill ring"))?;
    let entries = frames.min(TX_RING_MAX);
    set(fd.as_fd(), libc::XDP_TX_RING, &entries).map_err(setup("make the transmit ring"))?;
    // Older kernels send 32 a call, and say late which.
    let is_prompt = set(fd.as_fd(), MAX_TX_SKB_BUDGET, &entries).is_ok();
    let offsets = offsets(fd.as_fd()).map_err(setup("learn the layout of the rings"))?;
    let tx = TxRing::map(fd.as_fd(), &offsets.tx, entries).map_err(setup("map the transmit ring"))?;
    let completions =
        CompletionRing::map(fd.as_fd(), &offsets.cr, frames).map_err(setup("map the completion ring"))?;
    let queue = bind_any(fd.as_fd(), interface, queues.max(1))?;
    Ok(Parts { fd, umem, tx, completions, queue, is_prompt })
}

/// Whether a process may have such a socket, as far as that can be said without an interface.
pub(super) fn probe() -> Result<(), XdpError> {
    let fd = socket()?;
    register(fd.as_fd(), FRAMES_MIN).map(drop)
}

fn socket() -> Result<OwnedFd, XdpError> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    match Errno::result(fd) {
        // SAFETY: just opened, and nobody else knows of it.
        Ok(fd) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        Err(Errno::EPERM) => Err(XdpError::Capability),
        Err(errno) => Err(XdpError::Kernel(errno)),
    }
}

/// Has the kernel lock as many frames as the limit allows, at most so many.
fn register(fd: BorrowedFd<'_>, most: u32) -> Result<Umem, XdpError> {
    let mut frames = most;
    while frames >= FRAMES_MIN {
        let umem = Umem::new(frames).map_err(|errno| XdpError::Setup("have memory", errno))?;
        let (addr, len) = umem.area();
        #[expect(clippy::cast_possible_truncation, reason = "2048")]
        let chunk_size = FRAME as u32;
        let area = xdp_umem_reg { addr, len, chunk_size, headroom: 0, flags: 0, tx_metadata_len: 0 };
        match set(fd, libc::XDP_UMEM_REG, &area) {
            Ok(()) => return Ok(umem),
            Err(Errno::ENOBUFS | Errno::ENOMEM) => frames /= 2,
            Err(errno) => return Err(XdpError::Setup("register memory", errno)),
        }
    }
    Err(XdpError::Memory { bytes: FRAMES_MIN as usize * FRAME })
}

fn bind_any(fd: BorrowedFd<'_>, interface: u32, queues: u32) -> Result<u32, XdpError> {
    let mut busy = false;
    for queue in 0..queues {
        match bind(fd, interface, queue) {
            Ok(()) => return Ok(queue),
            Err(Errno::EBUSY) => busy = true,
            // The driver has fewer than the device was made for.
            Err(Errno::EINVAL) if busy => break,
            Err(errno) => return Err(XdpError::Interface(errno)),
        }
    }
    Err(XdpError::Busy)
}

fn bind(fd: BorrowedFd<'_>, interface: u32, queue: u32) -> Result<(), Errno> {
    #[expect(clippy::cast_possible_truncation, reason = "44")]
    let name = sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: libc::XDP_COPY,
        sxdp_ifindex: interface,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let name: *const sockaddr_xdp = &raw const name;
    // SAFETY: the name lives past the call, which only reads it, by the length of its type.
    let bound = unsafe { libc::bind(fd.as_raw_fd(), name.cast(), len_of::<sockaddr_xdp>()) };
    Errno::result(bound).map(drop)
}

fn set<T>(fd: BorrowedFd<'_>, option: c_int, value: &T) -> Result<(), Errno> {
    let value: *const T = value;
    // SAFETY: the value is borrowed past the call, which only reads it, by the length of its type. What it
    // points at in turn (the memory to register) is an address to the kernel, which checks it.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_XDP, option, value.cast(), len_of::<T>()) };
    Errno::result(result).map(drop)
}

fn offsets(fd: BorrowedFd<'_>) -> Result<xdp_mmap_offsets, Errno> {
    const NONE: xdp_ring_offset = xdp_ring_offset { producer: 0, consumer: 0, desc: 0, flags: 0 };
    let mut offsets = xdp_mmap_offsets { rx: NONE, tx: NONE, fr: NONE, cr: NONE };
    let mut len = len_of::<xdp_mmap_offsets>();
    let value: *mut xdp_mmap_offsets = &raw mut offsets;
    // SAFETY: the kernel writes at most `len` bytes to the offsets, which are ours and are plain numbers, and
    // writes back to `len` how many.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_XDP, libc::XDP_MMAP_OFFSETS, value.cast(), &raw mut len)
    };
    Errno::result(result)?;
    // Before Linux 5.4 they are shorter.
    if len == len_of::<xdp_mmap_offsets>() { Ok(offsets) } else { Err(Errno::ENOTSUP) }
}

#[expect(clippy::cast_possible_truncation, reason = "some dozens")]
const fn len_of<T>() -> socklen_t {
    size_of::<T>() as socklen_t
}
