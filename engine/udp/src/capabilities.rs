//! What the kernel offers, asked once at start and printed there.

use std::fmt;
use std::io::IoSlice;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::batch::{CALL_MAX, TRAIN_MAX};

/// Segments of one send before Linux 6.9.
const TRAIN_SAFE: usize = 64;

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Datagrams that one system call sends, of a socket that sends; 1 = no `sendmmsg`.
    pub send_batch: Option<usize>,
    /// Datagrams that one send carries to a peer, of a socket that sends; 1 = no UDP segmentation offload.
    pub train: Option<usize>,
    /// The send buffer of each egress socket, with the name of its family.
    pub send_buffers: Vec<(&'static str, Buffer)>,
    /// Whether frames can be sent by AF_XDP, where that is wanted.
    pub xdp: Option<bool>,
    /// The receive buffer, of a socket that receives.
    pub receive_buffer: Option<Buffer>,
    /// Whether datagrams that follow one another come in one piece, of a socket that receives (`UDP_GRO`).
    pub gro: Option<bool>,
}

impl Capabilities {
    /// How many datagrams one system call can send, at most `wanted` and [`CALL_MAX`].
    #[must_use]
    pub fn probe_send_batch(wanted: usize) -> usize {
        if has_sendmmsg() { wanted.min(CALL_MAX) } else { 1 }
    }

    /// How many datagrams one send can carry to a peer by UDP segmentation offload, as far as that depends on the
    /// kernel and not on the path; 1 = none.
    #[must_use]
    pub fn probe_train() -> usize {
        // Where even loopback is missing, the older kernels' bound is safe: a path that refuses is noticed.
        probe_segments().unwrap_or(TRAIN_SAFE)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        match self.send_batch {
            None => {}
            Some(1) => write!(f, "sendmmsg off")?,
            Some(n) => write!(f, "sendmmsg of {n}")?,
        }
        if self.send_batch.is_some() {
            separator = ", ";
        }
        match self.train {
            None => {}
            Some(1) => write!(f, "{separator}GSO off")?,
            Some(n) => write!(f, "{separator}GSO of {n}")?,
        }
        for (family, Buffer { asked, granted }) in &self.send_buffers {
            write!(f, "{separator}{family} send buffer {asked} B asked, {granted} B granted")?;
            separator = ", ";
        }
        if let Some(xdp) = self.xdp {
            write!(f, "{separator}AF_XDP {}", if xdp { "on" } else { "not available" })?;
            separator = ", ";
        }
        if let Some(Buffer { asked, granted }) = self.receive_buffer {
            write!(f, "{separator}receive buffer {asked} B asked, {granted} B granted")?;
            separator = ", ";
        }
        if let Some(gro) = self.gro {
            write!(f, "{separator}GRO {}", if gro { "on" } else { "off" })?;
        }
        Ok(())
    }
}

/// Bytes of a segment that is tried: more than the headers, which older kernels count as well.
const PROBED: u16 = 64;

/// The most segments that a socket of ours takes, sent to itself; `None` when it cannot even send one datagram.
fn probe_segments() -> Option<usize> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    socket.connect(socket.local_addr().ok()?).ok()?;
    socket.send(&[0]).ok()?;
    let segment = usize::from(PROBED);
    let bytes = vec![0; TRAIN_MAX * segment];
    let sends = |segments: &usize| {
        let (length, flags) = ([ControlMessage::UdpGsoSegments(&PROBED)], MsgFlags::MSG_DONTWAIT);
        let part = [IoSlice::new(&bytes[..*segments * segment])];
        sendmsg::<()>(socket.as_raw_fd(), &part, &length, flags, None).is_ok()
    };
    Some(
        [TRAIN_MAX, TRAIN_SAFE - 1]
            .into_iter()
            .find(sends)
            .map_or(1, |most| most.next_multiple_of(TRAIN_SAFE)),
    )
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
    #[cfg_attr(miri, ignore = "makes a system call")]
    fn this_kernel_has_sendmmsg() {
        assert_eq!(Capabilities::probe_send_batch(CALL_MAX), CALL_MAX);
        assert_eq!(Capabilities::probe_send_batch(1), 1);
    }

    #[test]
    #[cfg_attr(miri, ignore = "makes a system call")]
    fn this_kernel_cuts_trains_up() {
        assert!([TRAIN_SAFE, TRAIN_MAX].contains(&Capabilities::probe_train()));
    }

    #[test]
    fn what_was_granted_is_said() {
        let buffer = Buffer { asked: 4, granted: 8 };
        let both = Capabilities {
            send_batch: Some(1024),
            train: Some(64),
            send_buffers: vec![("IPv4", buffer)],
            xdp: Some(true),
            receive_buffer: Some(buffer),
            gro: Some(false),
        };
        let text = "sendmmsg of 1024, GSO of 64, IPv4 send buffer 4 B asked, 8 B granted, AF_XDP on, receive buffer 4 B asked, 8 B granted, GRO off";
        assert_eq!(both.to_string(), text);
        let receiving = Capabilities { receive_buffer: Some(buffer), ..Capabilities::default() };
        assert_eq!(receiving.to_string(), "receive buffer 4 B asked, 8 B granted");
        let trains = Capabilities { gro: Some(true), ..Capabilities::default() };
        assert_eq!(trains.to_string(), "GRO on");
    }
}
