//! The smallest subscriber: says what arrives, without end or until it has seen as many as asked for.
//!
//! ```sh
//! cargo run -p headcast --example subscriber                          # on 127.0.0.1:12000
//! cargo run -p headcast --example subscriber -- 0.0.0.0:12000 10      # on all addresses, ten messages
//! ```

use headcast::Subscriber;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:12000".into()).parse()?;
    let count = args.next().map_or(Ok(u64::MAX), |count| count.parse())?;
    let mut subscriber = Subscriber::builder().listen(listen).build()?;
    println!("listening on {}", subscriber.local_addr()?);
    for _ in 0..count {
        let message = subscriber.recv()?;
        println!("{}", String::from_utf8_lossy(message.payload));
    }
    Ok(())
}
