//! The frame that carries a datagram to one peer: everything but the payload, prepared.
//!
//! ```text
//!   0         14                  34 or 54   42 or 62
//!   [ Ethernet ][ IPv4 20 or IPv6 40 ][ UDP 8 ][ payload ............. ]
//! ```
//!
//! A frame for an interface of a VLAN has no tag here: copied frames go through the interface's own
//! transmit function, and a VLAN device puts the tag on whatever has none (`vlan_dev_hard_start_xmit`,
//! `net/8021q/vlan_dev.c`).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::FRAME;
use super::checksum::{finish, sum, word};

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8;
/// Bytes before the payload, at most.
pub(super) const HEADER_MAX: usize = ETHERNET + IPV6 + UDP;

/// `ETH_P_IP` and `ETH_P_IPV6` (`linux/if_ether.h`).
const ETHERTYPES: [[u8; 2]; 2] = [[0x08, 0x00], [0x86, 0xdd]];
/// `IPPROTO_UDP`.
const PROTOCOL: u8 = 17;
/// Don't fragment, which the kernel sets for UDP as well, with an identification of 0 (`ip_select_ident`).
const DONT_FRAGMENT: [u8; 2] = [0x40, 0x00];

/// The way to a peer's next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The hardware address of the interface that sends.
    pub from: [u8; 6],
    /// That of the next hop: the peer, or the router before it.
    pub to: [u8; 6],
    /// Bytes of the longest IP packet on this way.
    pub mtu: u32,
    /// IPv4's time to live, IPv6's hop limit.
    pub hop_limit: u8,
}

/// The frame to one peer, with room for any payload: headers for an empty one, and the sums of what in
/// them does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    header: [u8; HEADER_MAX],
    v4: bool,
    payload_max: u16,
    /// Of the IPv4 header without its length.
    ip_sum: u64,
    /// Of the pseudo-header and the UDP header, without the length that both have.
    udp_sum: u64,
}

impl Template {
    /// Prepares the frame from `source` to `peer`, or `None` if they are not of one family.
    #[must_use]
    pub fn new(source: SocketAddr, peer: SocketAddr, hop: &NextHop) -> Option<Self> {
        let mut header = [0; HEADER_MAX];
        header[..6].copy_from_slice(&hop.to);
        header[6..12].copy_from_slice(&hop.from);
        let (ip_sum, addresses_sum, v4) = match (source.ip(), peer.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                header[12..14].copy_from_slice(&ETHERTYPES[0]);
                ipv4(&mut header[ETHERNET..ETHERNET + IPV4], from, to, hop.hop_limit);
                let ip = &header[ETHERNET..ETHERNET + IPV4];
                (sum(ip), sum(&ip[12..]), true)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                header[12..14].copy_from_slice(&ETHERTYPES[1]);
                ipv6(
                    &mut header[ETHERNET..ETHERNET + IPV6],
                    from,
                    to,
                    hop.hop_limit,
                    flow_label(source, peer),
                );
                (0, sum(&header[ETHERNET + 8..ETHERNET + IPV6]), false)
            }
            _ => return None,
        };
        let mut template =
            Self { header, v4, payload_max: payload_max(hop.mtu, v4), ip_sum, udp_sum: addresses_sum };
        let udp = template.udp();
        template.header[udp..udp + 2].copy_from_slice(&source.port().to_be_bytes());
        template.header[udp + 2..udp + 4].copy_from_slice(&peer.port().to_be_bytes());
        template.udp_sum += word(u16::from(PROTOCOL)) + word(source.port()) + word(peer.port());
        Some(template)
    }

    /// The longest payload that goes out in one piece, in bytes.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        self.payload_max.into()
    }

    /// Where the UDP header begins.
    #[inline]
    fn udp(&self) -> usize {
        ETHERNET + if self.v4 { IPV4 } else { IPV6 }
    }

    /// Writes the frame for `payload`, whose [`sum`] is `payload_sum`; returns how long it is.
    ///
    /// # Panics
    /// If the payload is longer than [`payload_max`](Self::payload_max).
    #[inline]
    pub(super) fn write(&self, frame: &mut [u8; FRAME], payload: &[u8], payload_sum: u64) -> usize {
        assert!(payload.len() <= self.payload_max(), "the payload fits into one frame");
        #[expect(clippy::cast_possible_truncation, reason = "as asserted, and 8 more are within the MTU")]
        let udp_len = (UDP + payload.len()) as u16;
        let udp = self.udp();
        // All of it, of whatever length it is: a copy of fixed length takes no call. The payload comes over what is too
        // much.
        frame[..HEADER_MAX].copy_from_slice(&self.header);
        frame[udp + UDP..][..payload.len()].copy_from_slice(payload);
        if self.v4 {
            #[expect(clippy::cast_possible_truncation, reason = "20")]
            let total = udp_len + IPV4 as u16;
            frame[16..18].copy_from_slice(&total.to_be_bytes());
            frame[24..26].copy_from_slice(&finish(self.ip_sum + word(total)).to_ne_bytes());
        } else {
            frame[18..20].copy_from_slice(&udp_len.to_be_bytes());
        }
        frame[udp + 4..udp + 6].copy_from_slice(&udp_len.to_be_bytes());
        // The length stands in the pseudo-header and in the header.
        let checksum = finish(self.udp_sum + 2 * word(udp_len) + payload_sum);
        // 0 would mean that there is none (RFC 768).
        let checksum = if checksum == 0 { u16::MAX } else { checksum };
        frame[udp + 6..udp + 8].copy_from_slice(&checksum.to_ne_bytes());
        udp + UDP + payload.len()
    }
}

/// What an MTU leaves for the payload, within a frame's memory.
fn payload_max(mtu: u32, v4: bool) -> u16 {
    let headers = UDP + if v4 { IPV4 } else { IPV6 };
    let by_mtu = usize::try_from(mtu).unwrap_or(usize::MAX).saturating_sub(headers);
    let by_memory = FRAME - ETHERNET - headers;
    u16::try_from(by_mtu.min(by_memory)).unwrap_or(u16::MAX)
}

fn ipv4(header: &mut [u8], from: Ipv4Addr, to: Ipv4Addr, hop_limit: u8) {
    // Version 4, five words of header.
    header[0] = 0x45;
    header[6..8].copy_from_slice(&DONT_FRAGMENT);
    header[8] = hop_limit;
    header[9] = PROTOCOL;
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
}

fn ipv6(header: &mut [u8], from: Ipv6Addr, to: Ipv6Addr, hop_limit: u8, flow_label: u32) {
    header[..4].copy_from_slice(&(6 << 28 | flow_label).to_be_bytes());
    header[6] = PROTOCOL;
    header[7] = hop_limit;
    header[8..24].copy_from_slice(&from.octets());
    header[24..40].copy_from_slice(&to.octets());
}

/// 20 bits that differ between flows and stay within one, as the kernel's do (RFC 6437).
fn flow_label(source: SocketAddr, peer: SocketAddr) -> u32 {
    let mut hasher = DefaultHasher::new();
    (source, peer).hash(&mut hasher);
    (hasher.finish() & 0xf_ffff) as u32
}

#[cfg(all(test, not(miri)))]
mod tests;
