//! What a peer takes, counted at the allocator.

use std::alloc::System;
use std::error::Error;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use headcast_udp::{Batch, CALL_MAX};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::peers::following;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What the batch of a peer may take in bytes.
pub const BYTES_PER_PEER_MAX: f64 = 256.0;

/// Bytes that so many peers take.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Footprint {
    /// How many peers.
    pub peers: usize,
    /// A batch of IPv4 peers: headers, addresses and what is known of each.
    pub batch_v4: usize,
    /// A batch of IPv6 peers.
    pub batch_v6: usize,
    /// What the control thread hands over: two batches, half of the peers in each.
    pub set: usize,
    /// What a whole publisher takes more than one with a single peer: the set, and the control thread's
    /// own lists of who the peers are.
    pub publisher: usize,
}

/// Builds all of it for so many peers.
///
/// The counts are of the whole process: nothing else may allocate meanwhile.
///
/// # Errors
/// When there are not so many addresses, or the publisher does not accept them.
pub fn measure(peers: usize) -> Result<Footprint, Box<dyn Error>> {
    let v4 = addresses_v4(peers)?;
    let v6 = addresses_v6(peers);
    let half = peers / 2;
    let batch = |peers: &[SocketAddr]| Batch::new(peers, CALL_MAX);
    Ok(Footprint {
        peers,
        batch_v4: taken(|| Ok(batch(&v4)))?,
        batch_v6: taken(|| Ok(batch(&v6)))?,
        set: taken(|| Ok(Box::new([batch(&v4[..half]), batch(&v6[half..])])))?,
        publisher: taken(|| publisher(&v4))?.saturating_sub(taken(|| publisher(&v4[..1]))?),
    })
}

/// Bytes that `make` leaves allocated as long as its result lives.
fn taken<T>(make: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<usize, Box<dyn Error>> {
    let before = live();
    let made = make()?;
    let bytes = settled().saturating_sub(before);
    drop(made);
    Ok(bytes)
}

/// Bytes that are allocated.
fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// The same once no other thread changes it: a publisher's control thread tidies up after the handover.
fn settled() -> usize {
    let mut last = live();
    let mut same = 0;
    // Bounded: a second.
    for _ in 0..500 {
        std::thread::sleep(Duration::from_millis(2));
        let now = live();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if same == 10 {
            break;
        }
    }
    last
}

/// A publisher that has taken over these peers, and little else.
fn publisher(peers: &[SocketAddr]) -> Result<headcast::Publisher, Box<dyn Error>> {
    let mut publisher = crate::publisher().ring(16).queue(1).peers(peers.iter().copied()).build()?;
    let found = publisher.wait_for_peers(crate::PEERS_TIMEOUT)?;
    if found != peers.len() {
        return Err(format!("of {} peers only {found} were accepted", peers.len()).into());
    }
    Ok(publisher)
}

fn addresses_v4(count: usize) -> Result<Vec<SocketAddr>, Box<dyn Error>> {
    let first = SocketAddrV4::new([10, 64, 0, 1].into(), 12000);
    let peers = following(first, count).ok_or_else(|| format!("there are no {count} addresses"))?;
    Ok(peers.into_iter().map(SocketAddr::from).collect())
}

fn addresses_v6(count: usize) -> Vec<SocketAddr> {
    let first = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1).to_bits();
    let ip = |i: usize| Ipv6Addr::from_bits(first + i as u128);
    (0..count).map(|i| SocketAddrV6::new(ip(i), 12000, 0, 0).into()).collect()
}

impl Footprint {
    /// Each part with its bytes per peer.
    pub fn per_peer(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let parts = [
            ("batch, IPv4", self.batch_v4),
            ("batch, IPv6", self.batch_v6),
            ("set handed over", self.set),
            ("whole publisher", self.publisher),
        ];
        let peers = self.peers as f64;
        parts.into_iter().map(move |(name, bytes)| (name, bytes as f64 / peers))
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, bytes) in self.per_peer() {
            writeln!(f, "{:>7}  {name:<16}  {bytes:>8.1}", self.peers)?;
        }
        Ok(())
    }
}
