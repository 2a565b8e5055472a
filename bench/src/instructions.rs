//! Publishes a number of messages and ends: something for an instruction counter to count.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use crate::peers::following;

/// What to publish.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many peers. They are addresses of the loopback network that one socket receives for.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    pub peers: usize,
    /// How many messages.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000_000))]
    pub messages: usize,
    /// Bytes of payload.
    #[arg(long, value_name = "BYTES", default_value_t = 128,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1352))]
    pub payload: usize,
}

/// Publishes them; returns how many datagrams the kernel took.
///
/// # Errors
/// When the receiver or the publisher cannot be had, or a message cannot be published.
pub fn run(options: &Options) -> Result<u64, Box<dyn Error>> {
    // It is never read: once its buffer is full the kernel drops what comes. Without it, every datagram
    // would be answered that nobody is there.
    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let first = SocketAddrV4::new(Ipv4Addr::LOCALHOST, receiver.local_addr()?.port());
    let peers = following(first, options.peers).ok_or("too many peers")?;
    let mut publisher = crate::publisher().peers(peers.into_iter().map(Into::into)).build()?;
    publisher.wait_for_peers(crate::PEERS_TIMEOUT)?;
    let payload = vec![0x5a; options.payload];
    for _ in 0..options.messages {
        publisher.publish(&payload)?;
    }
    Ok(publisher.counters().sent_first.get())
}
