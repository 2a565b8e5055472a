//! Who a publisher is: a number that outlives its process.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use headcast_proto::session::publisher_id;

/// How many publishers of one host find a number without being told one.
const NEIGHBOURS_MAX: u32 = 64;

/// The number that the name of this host stands for.
///
/// # Errors
/// When the kernel does not tell the host's name.
pub fn host_publisher_id() -> io::Result<u32> {
    Ok(publisher_id(&nix::unistd::gethostname()?.to_string_lossy()))
}

/// A number that no other publisher on this host has.
///
/// Two processes with one number would take turns in replacing each other's sessions. So each holds
/// its number by an abstract Unix socket of that name, which the kernel frees when the process is
/// gone, however it went: a restarted publisher has its old number again.
pub(crate) struct Identity {
    id: u32,
    _held: Option<UnixDatagram>,
}

impl Identity {
    pub(crate) fn given(id: u32) -> Self {
        Self { id, _held: None }
    }

    pub(crate) fn of_host() -> io::Result<Self> {
        let first = host_publisher_id()?;
        for id in (0..NEIGHBOURS_MAX).map(|n| first.wrapping_add(n)) {
            let name = SocketAddr::from_abstract_name(format!("headcast-publisher-{id:08x}"))?;
            match UnixDatagram::bind_addr(&name) {
                Ok(held) => return Ok(Self { id, _held: Some(held) }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!(
            "{NEIGHBOURS_MAX} publishers of this host have numbers from its name already; give this one a number of its own"
        )))
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }
}
