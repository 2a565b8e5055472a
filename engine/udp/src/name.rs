//! Socket addresses as the kernel reads and writes them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{in_addr, in6_addr, sockaddr_in, sockaddr_in6, socklen_t};

/// Room for an IPv4 or an IPv6 address: 28 bytes, where `sockaddr_storage` takes 128.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union Name {
    v4: sockaddr_in,
    v6: sockaddr_in6,
}

/// Bytes of a whole [`Name`].
#[allow(clippy::cast_possible_truncation, reason = "28")]
pub(crate) const NAME_LEN: socklen_t = size_of::<Name>() as socklen_t;

impl Name {
    /// All zeros: no address.
    pub(crate) const EMPTY: Self = Self {
        v6: sockaddr_in6 {
            sin6_family: 0,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        },
    };

    /// The address, and how many of the bytes are its own.
    pub(crate) fn new(address: SocketAddr) -> (Self, socklen_t) {
        #[allow(clippy::cast_possible_truncation, reason = "2 and 10")]
        let (v4_family, v6_family) = (libc::AF_INET as u16, libc::AF_INET6 as u16);
        let mut name = Self::EMPTY;
        #[allow(clippy::cast_possible_truncation, reason = "16 and 28")]
        let len = match address {
            SocketAddr::V4(address) => {
                name.v4 = sockaddr_in {
                    sin_family: v4_family,
                    sin_port: address.port().to_be(),
                    sin_addr: in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                };
                size_of::<sockaddr_in>()
            }
            SocketAddr::V6(address) => {
                name.v6 = sockaddr_in6 {
                    sin6_family: v6_family,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                size_of::<sockaddr_in6>()
            }
        } as socklen_t;
        (name, len)
    }

    /// The address that the kernel wrote, `len` bytes of it; `None` if it is of no internet family.
    #[inline]
    pub(crate) fn address(&self, len: socklen_t) -> Option<SocketAddr> {
        // SAFETY: both variants are plain integers without padding, and every byte of the union is
        // initialised from `EMPTY` on, so any variant may be read at any time. The family field is
        // the first two bytes of both.
        let family = i32::from(unsafe { self.v4 }.sin_family);
        if family == libc::AF_INET && len as usize >= size_of::<sockaddr_in>() {
            // SAFETY: as above.
            let v4 = unsafe { self.v4 };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        } else if family == libc::AF_INET6 && len as usize >= size_of::<sockaddr_in6>() {
            // SAFETY: as above.
            let v6 = unsafe { self.v6 };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_through_the_kernels_form() {
        for address in ["127.0.0.1:12000", "[::1]:65535", "[fe80::1%7]:1"] {
            let address: SocketAddr = address.parse().expect("an address");
            let (name, len) = Name::new(address);
            assert_eq!(name.address(len), Some(address));
        }
        assert_eq!(Name::EMPTY.address(NAME_LEN), None);
        let (name, _) = Name::new("127.0.0.1:1".parse().expect("an address"));
        assert_eq!(name.address(2), None, "a cut name is no address");
    }
}
