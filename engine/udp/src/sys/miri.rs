//! A kernel for Miri, which makes no system calls: it reads and writes the memory that it is given
//! where and as far as the real one does, sends nothing, and fails when it is told to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use libc::{c_int, c_void, cmsghdr, iovec, mmsghdr, msghdr, socklen_t};
use nix::errno::Errno;

use crate::name::Name;

thread_local! {
    static KERNEL: RefCell<Kernel> = const { RefCell::new(Kernel::new()) };
}

/// The kernel of this thread.
pub(crate) struct Kernel {
    /// What becomes of the next datagrams that are to be sent; of the others, that they are.
    pub(crate) verdicts: VecDeque<Result<(), Errno>>,
    /// What was sent, and to whom.
    pub(crate) sent: Vec<(SocketAddr, Vec<u8>)>,
    /// What is there to be received, and from where.
    pub(crate) arrived: VecDeque<(Option<SocketAddr>, Vec<u8>)>,
    /// What the receiving socket has dropped, if it tells.
    pub(crate) dropped: Option<u32>,
    /// The segment size that is told with what is received, if it is: whatever number.
    pub(crate) segment_size: Option<c_int>,
}

impl Kernel {
    const fn new() -> Self {
        Self {
            verdicts: VecDeque::new(),
            sent: Vec::new(),
            arrived: VecDeque::new(),
            dropped: None,
            segment_size: None,
        }
    }

    pub(crate) fn with<R>(act: impl FnOnce(&mut Self) -> R) -> R {
        KERNEL.with_borrow_mut(act)
    }

    fn send(&mut self, to: SocketAddr, datagram: Vec<u8>) -> Result<(), Errno> {
        self.verdicts.pop_front().unwrap_or(Ok(()))?;
        self.sent.push((to, datagram));
        Ok(())
    }
}

/// # Safety
/// As the real one.
pub(crate) unsafe fn sendmmsg(
    _fd: BorrowedFd<'_>,
    headers: *mut mmsghdr,
    count: usize,
) -> Result<usize, Errno> {
    for at in 0..count {
        // SAFETY: the caller vouches for `count` headers.
        let header = unsafe { headers.add(at) };
        // SAFETY: as above, that they are initialised, and that nobody else uses them.
        let header = unsafe { &mut *header };
        let message = &header.msg_hdr;
        // SAFETY: the caller vouches for the name.
        let to = unsafe { name(message.msg_name, message.msg_namelen) };
        let mut datagram = Vec::new();
        // SAFETY: the caller vouches for the vectors.
        for iov in unsafe { vectors(message) } {
            // SAFETY: the caller vouches for what the vectors point at.
            datagram
                .extend_from_slice(unsafe { std::slice::from_raw_parts(iov.iov_base.cast(), iov.iov_len) });
        }
        let len = datagram.len().try_into().expect("short");
        match Kernel::with(|kernel| kernel.send(to, datagram)) {
            Ok(()) => header.msg_len = len,
            // The kernel forgets the error of a later one: here it comes again with the next call.
            Err(errno) if at > 0 => {
                Kernel::with(|kernel| kernel.verdicts.push_front(Err(errno)));
                return Ok(at);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(count)
}

/// # Safety
/// As the real one.
pub(crate) unsafe fn sendto(
    _fd: BorrowedFd<'_>,
    datagram: &[u8],
    name_at: *const c_void,
    name_len: socklen_t,
) -> Result<(), Errno> {
    // SAFETY: the caller vouches for the name.
    let to = unsafe { name(name_at, name_len) };
    Kernel::with(|kernel| kernel.send(to, datagram.to_vec()))
}

/// # Safety
/// As the real one.
pub(crate) unsafe fn recvmmsg(
    _fd: BorrowedFd<'_>,
    headers: *mut mmsghdr,
    count: usize,
) -> Result<usize, Errno> {
    for at in 0..count {
        let Some((from, datagram)) = Kernel::with(|kernel| kernel.arrived.pop_front()) else {
            return if at == 0 { Err(Errno::EAGAIN) } else { Ok(at) };
        };
        // SAFETY: the caller vouches for `count` headers.
        let header = unsafe { headers.add(at) };
        // SAFETY: as above, that they are initialised, and that nobody else uses them.
        let header = unsafe { &mut *header };
        let message = &mut header.msg_hdr;
        let mut rest = &datagram[..];
        // SAFETY: the caller vouches for the vectors.
        for iov in unsafe { vectors(message) } {
            let (part, more) = rest.split_at(rest.len().min(iov.iov_len));
            // SAFETY: the caller vouches for what the vectors point at.
            unsafe { iov.iov_base.cast::<u8>().copy_from(part.as_ptr(), part.len()) };
            rest = more;
        }
        header.msg_len = (datagram.len() - rest.len()).try_into().expect("short");
        message.msg_flags = if rest.is_empty() { 0 } else { libc::MSG_TRUNC };
        match from.map(Name::new) {
            Some((name, name_len)) => {
                assert!(name_len <= message.msg_namelen, "the name is not cut");
                // SAFETY: the caller vouches for the room that the header tells of.
                unsafe {
                    message.msg_name.cast::<u8>().copy_from((&raw const name).cast(), name_len as usize)
                };
                message.msg_namelen = name_len;
            }
            None => message.msg_namelen = 0,
        }
        let dropped = Kernel::with(|kernel| kernel.dropped).map(u32::cast_signed);
        let segment_size = Kernel::with(|kernel| kernel.segment_size);
        // In the order of the real one (`udp_recvmsg`, `net/ipv4/udp.c`).
        let controls = [
            dropped.map(|count| control(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, count)),
            segment_size.map(|size| control(libc::SOL_UDP, libc::UDP_GRO, size)),
        ];
        let controls: Vec<u8> = controls.into_iter().flatten().flatten().collect();
        assert!(controls.len() <= message.msg_controllen, "no message is cut");
        // SAFETY: the caller vouches for the room, which is large enough, as asserted.
        unsafe { message.msg_control.cast::<u8>().copy_from(controls.as_ptr(), controls.len()) };
        message.msg_controllen = controls.len();
    }
    Ok(count)
}

/// # Safety
/// The bytes may be read.
unsafe fn name(at: *const c_void, len: socklen_t) -> SocketAddr {
    let mut name = Name::EMPTY;
    assert!(len as usize <= size_of::<Name>(), "a name");
    // SAFETY: the caller vouches for the bytes, and there is room for as many, as asserted.
    unsafe { (&raw mut name).cast::<u8>().copy_from(at.cast(), len as usize) };
    name.address(len).expect("an address")
}

/// # Safety
/// The header's vectors may be read, for as long as it is borrowed.
unsafe fn vectors(message: &msghdr) -> &[iovec] {
    // SAFETY: the caller vouches for it.
    unsafe { std::slice::from_raw_parts(message.msg_iov, message.msg_iovlen) }
}

/// A control message, with as much room as the kernel leaves to it.
fn control(level: c_int, kind: c_int, value: c_int) -> Vec<u8> {
    // `CMSG_LEN(4)`, and then `CMSG_SPACE(4)`.
    let len = size_of::<cmsghdr>() + size_of::<c_int>();
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend([level, kind, value].into_iter().flat_map(c_int::to_ne_bytes));
    bytes.resize(len.next_multiple_of(align_of::<cmsghdr>()), 0);
    bytes
}
