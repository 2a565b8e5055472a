//! Peers to send to: addresses that follow one another, all with one port.

use std::net::{Ipv4Addr, SocketAddrV4};

/// `count` addresses from `first` on, sorted; `None` when there are not so many.
pub(crate) fn following(first: SocketAddrV4, count: usize) -> Option<Vec<SocketAddrV4>> {
    let base = first.ip().to_bits();
    let last = u32::try_from(count.checked_sub(1)?).ok().and_then(|more| base.checked_add(more))?;
    Some((base..=last).map(|bits| SocketAddrV4::new(Ipv4Addr::from_bits(bits), first.port())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_one_another_across_the_dots() {
        let first = "10.77.0.255:12000".parse().expect("an address");
        let peers = following(first, 2).expect("two addresses");
        assert_eq!(peers, [first, "10.77.1.0:12000".parse().expect("an address")]);
        assert_eq!(following(first, 0), None);
        assert_eq!(following("255.255.255.255:1".parse().expect("an address"), 2), None);
    }
}
