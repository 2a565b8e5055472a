//! Receives a number of datagrams and ends: something for an instruction counter to count.

use std::error::Error;
use std::net::Ipv4Addr;

use headcast::Subscriber;

/// Datagrams that wait in the socket when they are received.
const BATCH: usize = 64;

/// What to receive.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many messages.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000_000))]
    pub messages: usize,
    /// Bytes of payload.
    #[arg(long, value_name = "BYTES", default_value_t = 128,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1352))]
    pub payload: usize,
    /// Hand them on in order.
    #[arg(long)]
    pub ordered: bool,
}

/// Publishes them to a subscriber in the same process, and receives them; returns how many came.
///
/// # Errors
/// When the publisher or the subscriber cannot be had, or a message is lost.
pub fn run(options: &Options) -> Result<u64, Box<dyn Error>> {
    let mut builder = Subscriber::builder().listen((Ipv4Addr::LOCALHOST, 0).into());
    if options.ordered {
        builder = builder.ordered(std::time::Duration::from_millis(100));
    }
    let mut subscriber = builder.build()?;
    let mut publisher = crate::publisher().peers([subscriber.local_addr()?]).build()?;
    publisher.wait_for_peers(crate::PEERS_TIMEOUT)?;
    let payload = vec![0x5a; options.payload];
    let mut left = options.messages;
    let mut received = 0;
    while left > 0 {
        let count = left.min(BATCH);
        for _ in 0..count {
            publisher.publish(&payload)?;
        }
        left -= count;
        received += take(&mut subscriber)?;
    }
    if received != options.messages {
        return Err(format!("{received} of {} messages came", options.messages).into());
    }
    Ok(subscriber.counters().datagrams.get())
}

/// Receives what waits. This is what is counted: scripts/instructions names it.
#[inline(never)]
fn take(subscriber: &mut Subscriber) -> std::io::Result<usize> {
    let mut count = 0;
    while let Some(message) = subscriber.try_recv()? {
        count += usize::from(!std::hint::black_box(message.payload).is_empty());
    }
    Ok(count)
}
