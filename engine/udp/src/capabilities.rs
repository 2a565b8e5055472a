//! What the kernel offers, asked once at start and printed there.

use std::fmt;

use nix::errno::Errno;

use crate::batch::CALL_MAX;

/// A socket buffer: what was asked for and what `getsockopt` says was granted, in bytes.
///
/// The kernel doubles what is asked, for its own bookkeeping, and then cuts it at the limit that
/// `net.core.wmem_max` or `net.core.rmem_max` sets (`socket(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Asked for.
    pub asked: usize,
    /// Granted.
    pub granted: usize,
}

/// What the kernel offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Datagrams that one system call sends; 1 = no `sendmmsg`.
    pub send_batch: usize,
    /// The send buffer of each egress socket, with the name of its family.
    pub send_buffers: Vec<(&'static str, Buffer)>,
    /// The receive buffer, of a socket that receives.
    pub receive_buffer: Option<Buffer>,
}

impl Capabilities {
    /// Asks the kernel. `send_batch` is the most that is wanted.
    #[must_use]
    pub fn probe(send_batch: usize) -> Self {
        let send_batch = if has_sendmmsg() { send_batch.min(CALL_MAX) } else { 1 };
        Self { send_batch, send_buffers: Vec::new(), receive_buffer: None }
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.send_batch {
            1 => write!(f, "sendmmsg off")?,
            n => write!(f, "sendmmsg {n} datagrams a call")?,
        }
        for (family, Buffer { asked, granted }) in &self.send_buffers {
            write!(f, ", {family} send buffer {asked} B asked, {granted} B granted")?;
        }
        if let Some(Buffer { asked, granted }) = self.receive_buffer {
            write!(f, ", receive buffer {asked} B asked, {granted} B granted")?;
        }
        Ok(())
    }
}

/// Whether the system call exists: on no socket at all it fails with `EBADF`, where it is missing or
/// forbidden with something else.
fn has_sendmmsg() -> bool {
    // SAFETY: no descriptor and no headers: the kernel looks at the descriptor first and gives up.
    let result =
        unsafe { libc::syscall(libc::SYS_sendmmsg, -1, std::ptr::null_mut::<libc::mmsghdr>(), 0, 0) };
    result == -1 && Errno::last() == Errno::EBADF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_sendmmsg() {
        assert_eq!(Capabilities::probe(CALL_MAX).send_batch, CALL_MAX);
        assert_eq!(Capabilities::probe(1).send_batch, 1);
    }
}
