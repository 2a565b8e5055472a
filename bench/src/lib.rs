//! Loads services, measures Headcast against what it stands on, and compares it with others.
//!
//! | module | question |
//! |---|---|
//! | [`run`] | how long does a message take at a given rate, at each receiver and at the last? |
//! | [`sweep`] | up to which rate? |
//! | [`compare`] | and how do other systems fare beside it? |
//! | [`transmit`] | what does a datagram cost, beside the bare system call and beside a `send_to` loop? |
//! | [`instructions`] | how many instructions of our own does a message cost? |
//! | [`receptions`] | and a datagram at a subscriber? |
//! | [`repairs`] | what do subscribers cost that lose something and ask for it? |
//! | [`record`] | what does the recorder cost beside the bare database, and how long does an acknowledgement take? |
//! | [`memory`] | how many bytes does a peer take? |
//! | [`statistics`] | how sure is a ratio? |
//!
//! `benches/micro.rs` times the single steps. What the figures mean is in `docs/benchmarks.md`.

mod clock;
pub mod compare;
pub mod instructions;
pub mod load;
pub mod memory;
mod peers;
#[expect(unsafe_code, reason = "the bare system call, to be compared with; nothing else here needs it")]
mod raw;
pub mod receptions;
pub mod record;
pub mod repairs;
pub mod report;
pub mod run;
pub mod statistics;
pub mod sweep;
pub mod systems;
pub mod transmit;
mod usage;

pub use usage::Usage;

/// The settings that every publisher here has, so that figures can be compared.
fn publisher() -> headcast::PublisherBuilder {
    // One copy: the later ones would be the same work at another time. A given number, because one
    // that comes from the host's name is held by one process at a time.
    headcast::Publisher::builder().copies(1).publisher_id(1).send_buffer(SEND_BUFFER)
}

/// Bytes of send buffer that every socket here asks for.
const SEND_BUFFER: usize = 4 << 20;

/// How long a publisher with a fixed list may take to know it.
const PEERS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
