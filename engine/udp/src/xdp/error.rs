//! Why there is no AF_XDP socket.

use std::fmt;

use nix::errno::Errno;

/// Why there is no AF_XDP socket, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpError {
    /// The process may not have one.
    Capability,
    /// The kernel has none.
    Kernel(Errno),
    /// So many bytes could not be locked.
    Memory {
        /// Bytes of the least that would do.
        bytes: usize,
    },
    /// Every transmit queue of the interface has a socket already, which is what one queue takes.
    Busy,
    /// The interface or its driver takes none.
    Interface(Errno),
    /// A step of making it failed.
    Setup(&'static str, Errno),
}

impl fmt::Display for XdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability => {
                f.write_str("AF_XDP needs the capability CAP_NET_RAW, which this process does not have")
            }
            Self::Kernel(errno) => {
                write!(f, "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS), or a sandbox forbids it: {errno}")
            }
            Self::Memory { bytes } => write!(
                f,
                "AF_XDP needs {bytes} B of locked memory, which the limit does not allow: \
                 raise it (ulimit -l, RLIMIT_MEMLOCK) or grant CAP_IPC_LOCK"
            ),
            Self::Busy => f.write_str(
                "every transmit queue of the interface has an AF_XDP socket already, and takes one only",
            ),
            Self::Interface(errno) => write!(f, "the interface takes no AF_XDP socket in copy mode: {errno}"),
            Self::Setup(what, errno) => write!(f, "AF_XDP: cannot {what}: {errno}"),
        }
    }
}

impl std::error::Error for XdpError {}
