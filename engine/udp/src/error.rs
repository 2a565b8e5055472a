//! What a failed send means for the rest of the batch.

use nix::errno::Errno;

/// The four things that a failed send can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The socket's buffer is full. Nothing is lost: go on at the same peer once it is writable.
    Blocked,
    /// The kernel is short of memory or a queue is full. The socket stays writable, so waiting would
    /// spin: this datagram is lost, go on with the next peer.
    Transient,
    /// The kernel will not send to this peer: no route, a firewall's verdict, an address that cannot
    /// be. Count it against the peer, go on with the next.
    PeerRejected(Errno),
    /// The socket itself is of no use: a defect of this program.
    Fatal(Errno),
}

impl SendError {
    /// The meaning of an `errno` of `send(2)`, `udp(7)`, `ip(7)`. `EINTR` does not come here.
    ///
    /// What is not known counts against the peer: the worst of it is then one quarantined peer.
    #[must_use]
    pub const fn classify(errno: Errno) -> Self {
        match errno {
            // The same number as EWOULDBLOCK.
            Errno::EAGAIN => Self::Blocked,
            Errno::ENOBUFS | Errno::ENOMEM => Self::Transient,
            Errno::EBADF
            | Errno::ENOTSOCK
            | Errno::EFAULT
            | Errno::EDESTADDRREQ
            | Errno::EOPNOTSUPP
            | Errno::EPIPE
            | Errno::ENOSYS => Self::Fatal(errno),
            errno => Self::PeerRejected(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_errnos() {
        assert_eq!(SendError::classify(Errno::EWOULDBLOCK), SendError::Blocked);
        assert_eq!(SendError::classify(Errno::ENOBUFS), SendError::Transient);
        for errno in [
            Errno::EPERM,
            Errno::EHOSTUNREACH,
            Errno::ENETUNREACH,
            Errno::EINVAL,
            Errno::EMSGSIZE,
            Errno::EACCES,
        ] {
            assert_eq!(SendError::classify(errno), SendError::PeerRejected(errno));
        }
        assert_eq!(SendError::classify(Errno::EBADF), SendError::Fatal(Errno::EBADF));
    }
}
