//! Addresses as sockets spell them.

use std::net::{SocketAddr, SocketAddrV6};

/// An address as a socket that is of IPv6, or is not, has to be told it.
pub(crate) fn reachable(to: SocketAddr, ipv6: bool) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) if ipv6 => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        other => other,
    }
}
