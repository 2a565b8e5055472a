//! Open-loop load on a service, and what comes of it.
//!
//! A message follows this way: [`pace`] says when it is due, a [`Transport`] sends it with a [`Stamp`] in
//! front, a [`Reader`] brings it to the [`Audience`], whose [`Books`] have a [`Ledger`] for
//! each receiver and a row of the [`Spread`] for the message. [`part`] puts each side into a process of its own.
//!
//! Latency is taken from the moment at which a message was *due*, not from when it was sent: a sender that is held up
//! holds up what comes after, and that belongs into the figures (Tene, How NOT to Measure Latency, 2015: coordinated
//! omission). Nothing is corrected afterwards.

pub mod audience;
pub mod books;
pub mod drops;
pub mod health;
pub mod latencies;
pub mod ledger;
pub mod machine;
pub mod outcome;
pub mod pace;
pub mod part;
pub mod pin;
pub mod reader;
pub mod spread;
pub mod stamp;
pub mod tally;
pub mod transport;

pub use audience::Audience;
pub use books::{Books, Expected};
pub use latencies::Latencies;
pub use ledger::Ledger;
pub use machine::Machine;
pub use outcome::Outcome;
pub use pace::{Pace, Paced};
pub use reader::Reader;
pub use spread::Spread;
pub use stamp::Stamp;
pub use tally::Tally;
pub use transport::Transport;
