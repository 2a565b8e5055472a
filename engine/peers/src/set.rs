use std::{net::SocketAddr, slice};

/// The addresses of the peers: sorted, each once, never changed.
///
/// Two sets with the same members are equal whatever the order in which the members were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerSet(Box<[SocketAddr]>);

impl PeerSet {
    /// The members in ascending order: IPv4 before IPv6, then by address, then by port.
    pub fn as_slice(&self) -> &[SocketAddr] {
        &self.0
    }

    /// How many peers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no peer at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `peer` is a member; by binary search.
    pub fn contains(&self, peer: SocketAddr) -> bool {
        self.0.binary_search(&peer).is_ok()
    }

    /// The members in ascending order.
    pub fn iter(&self) -> slice::Iter<'_, SocketAddr> {
        self.0.iter()
    }

    /// The members of `self` that `other` lacks, in ascending order.
    pub(crate) fn without(&self, other: &PeerSet) -> Vec<SocketAddr> {
        self.iter().copied().filter(|&peer| !other.contains(peer)).collect()
    }
}

impl FromIterator<SocketAddr> for PeerSet {
    fn from_iter<I: IntoIterator<Item = SocketAddr>>(peers: I) -> Self {
        let mut peers: Vec<SocketAddr> = peers.into_iter().collect();
        peers.sort_unstable();
        peers.dedup();
        Self(peers.into_boxed_slice())
    }
}

impl<'a> IntoIterator for &'a PeerSet {
    type Item = &'a SocketAddr;
    type IntoIter = slice::Iter<'a, SocketAddr>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repetition_make_no_difference() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (a, b) = (addr("10.0.0.1:1"), addr("[::1]:1"));
        let set: PeerSet = [b, a, b].into_iter().collect();
        assert_eq!(set, [a, b].into_iter().collect());
        assert_eq!(set.as_slice(), [a, b]);
        assert!(set.contains(b) && !set.contains(addr("10.0.0.1:2")));
    }
}
