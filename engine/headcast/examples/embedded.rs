//! A service with a loop of its own: it does its work, writes what it has to say straight into the ring, and
//! gives the publisher a turn in each round. There is no other thread that sends, and no queue.
//!
//! It runs for two seconds. Start `subscriber` to hear it.
//!
//! ```sh
//! cargo run --release -p headcast --example embedded                  # to 127.0.0.1:12000
//! cargo run --release -p headcast --example embedded -- 10.0.0.7:12000
//! ```

use std::time::{Duration, Instant};

use headcast::Publisher;

/// What this service is there for: a price that changes now and then.
struct Market {
    price: u64,
    round: u64,
}

impl Market {
    /// The new price, if it changed in this round.
    fn look(&mut self) -> Option<u64> {
        self.round += 1;
        // A cheap number that looks like chance (xorshift).
        self.price ^= self.price << 13;
        self.price ^= self.price >> 7;
        self.price ^= self.price << 17;
        self.round.is_multiple_of(1_000).then_some(self.price)
    }
}

#[expect(clippy::disallowed_methods, reason = "a program may read the clock")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args().nth(1).unwrap_or("127.0.0.1:12000".into());
    let mut publisher = Publisher::builder().to(&target)?.build()?;
    publisher.wait_for_peers(Duration::from_secs(5))?;

    let mut market = Market { price: 1, round: 0 };
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        if let Some(price) = market.look() {
            // Room in the ring itself: what is written here is what the kernel reads. It leaves at `commit`.
            let mut message = publisher.claim(8)?;
            message.copy_from_slice(&price.to_le_bytes());
            message.commit()?;
        }
        // Later copies that are due, a new peer set: whatever there is, without waiting.
        publisher.turn(Some(Duration::ZERO))?;
    }

    let unsent = publisher.close(Duration::from_secs(1))?;
    let counters = publisher.counters();
    println!("{} rounds, {} messages, {unsent} not sent", market.round, counters.messages.get());
    println!("{} first copies, {} later ones", counters.sent_first.get(), counters.sent_later.get());
    Ok(())
}
