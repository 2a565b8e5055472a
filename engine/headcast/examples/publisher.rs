//! The smallest publisher: ten messages to one address, or to all pods of a service.
//!
//! ```sh
//! cargo run -p headcast --example publisher                                           # to 127.0.0.1:12000
//! cargo run -p headcast --example publisher -- headless-udp.demo.svc.cluster.local:12000
//! ```

use std::time::Duration;

use headcast::Publisher;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args().nth(1).unwrap_or("127.0.0.1:12000".into());
    let mut publisher = Publisher::builder().to(&target)?.build()?;
    let peers = publisher.wait_for_peers(Duration::from_secs(5))?;
    println!("peers: {peers}");
    for n in 1..=10 {
        publisher.publish(format!("message {n}").as_bytes())?;
    }
    // Later copies are still to come: without this they would be lost.
    publisher.close(Duration::from_secs(1))?;
    Ok(())
}
