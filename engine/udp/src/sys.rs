//! The three system calls, made directly: musl's `sendmmsg` is a loop of `sendmsg` under that name.

use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_long, c_void, mmsghdr, socklen_t};
use nix::errno::Errno;

/// Never wait in a send or a receive: waiting is the event loop's, and only its.
///
/// `MSG_NOSIGNAL` as well: a local stream peer that went away is an error, not a signal.
const FLAGS: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// `sendmmsg(2)`: sends `count` datagrams, and returns how many went out before the first failure.
///
/// An error is returned only if the first one failed; the error of a later one is lost.
///
/// # Safety
/// `headers` points at `count` initialised headers; every pointer in them is null or valid for the
/// length beside it; and nothing else reads or writes the headers during the call.
pub(crate) unsafe fn sendmmsg(
    fd: BorrowedFd<'_>,
    headers: *mut mmsghdr,
    count: usize,
) -> Result<usize, Errno> {
    // SAFETY: the caller vouches for `headers`. The kernel keeps no pointer past the call, reads what
    // the headers point at, and writes only `msg_len`. The descriptor is open as long as it is borrowed.
    let sent = unsafe { libc::syscall(libc::SYS_sendmmsg, fd.as_raw_fd(), headers, count, FLAGS) };
    result(sent)
}

/// `sendto(2)`: sends one datagram to one name. For a single one it is quicker than `sendmsg`, by the
/// header and the vector that the kernel need not read.
///
/// # Safety
/// `name` is valid for `name_len` bytes, and nobody writes to them during the call.
pub(crate) unsafe fn sendto(
    fd: BorrowedFd<'_>,
    datagram: &[u8],
    name: *const c_void,
    name_len: socklen_t,
) -> Result<(), Errno> {
    let (base, len) = (datagram.as_ptr(), datagram.len());
    // SAFETY: the datagram is borrowed, and the caller vouches for the name. The kernel keeps no pointer
    // past the call and only reads. The descriptor is open as long as it is borrowed.
    let sent = unsafe { libc::syscall(libc::SYS_sendto, fd.as_raw_fd(), base, len, FLAGS, name, name_len) };
    result(sent).map(|_bytes| ())
}

/// `recvmmsg(2)` without a time-out: receives what is there, at most `count` datagrams.
///
/// # Safety
/// As for [`sendmmsg`]; moreover what the headers point at is writable for its length, and nothing
/// else reads or writes it during the call.
pub(crate) unsafe fn recvmmsg(
    fd: BorrowedFd<'_>,
    headers: *mut mmsghdr,
    count: usize,
) -> Result<usize, Errno> {
    let no_timeout = std::ptr::null_mut::<libc::timespec>();
    // SAFETY: the caller vouches for `headers` and for what they point at. The kernel keeps no
    // pointer past the call. The descriptor is open as long as it is borrowed.
    let received = unsafe {
        libc::syscall(libc::SYS_recvmmsg, fd.as_raw_fd(), headers, count, libc::MSG_DONTWAIT, no_timeout)
    };
    result(received)
}

#[inline]
fn result(returned: c_long) -> Result<usize, Errno> {
    usize::try_from(returned).map_err(|_| Errno::last())
}
