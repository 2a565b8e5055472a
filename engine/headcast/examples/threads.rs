//! Many threads publish, one thread sends: each has a clone of the handle, and the publisher runs on a thread
//! of its own until it is told to stop.
//!
//! ```sh
//! cargo run --release -p headcast --example threads                   # to 127.0.0.1:12000
//! cargo run --release -p headcast --example threads -- 127.0.0.1:12000 3    # the sending thread alone on core 3, awake
//! ```

use std::thread;
use std::time::Duration;

use headcast::{Backlog, Publisher};

const THREADS: usize = 4;
const MESSAGES: usize = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let target = args.next().unwrap_or("127.0.0.1:12000".into());
    // When the queue is full, those who publish wait. The other policies drop, and count what they drop.
    let mut builder = Publisher::builder().to(&target)?.queue(1024).backlog(Backlog::Block);
    if let Some(core) = args.next() {
        // A core of its own, and never asleep: no wake-up costs time. Without it, the thread sleeps.
        builder = builder.pin(core.parse()?).busy_poll(true);
    }
    let mut publisher = builder.build()?;
    publisher.wait_for_peers(Duration::from_secs(5))?;

    let (handle, monitor) = (publisher.handle(), publisher.monitor());
    let sender = thread::spawn(move || {
        publisher.run()?;
        // Everything that was accepted before the stop is still sent.
        publisher.close(Duration::from_secs(5))
    });
    thread::scope(|scope| {
        for number in 0..THREADS {
            let handle = handle.clone();
            scope.spawn(move || {
                for n in 0..MESSAGES {
                    if let Err(error) = handle.publish(format!("thread {number}, message {n}").as_bytes()) {
                        // The publisher has closed: it says why when it is joined.
                        eprintln!("thread {number}: {error}");
                        return;
                    }
                }
            });
        }
    });
    handle.stop();
    let unsent = sender.join().expect("the sending thread does not panic")?;

    let counters = monitor.counters();
    println!("{} messages of {THREADS} threads, {unsent} not sent", counters.messages.get());
    // Messages that queued shared datagrams.
    println!("{} first copies, {} later ones", counters.sent_first.get(), counters.sent_later.get());
    Ok(())
}
