//! The systems that Headcast is compared with, and what it takes to load them.
//!
//! Each has a sender ([`Transport`](crate::load::Transport)) and a receiver ([`Reader`](crate::load::Reader)) that do
//! the least work that still counts and time-stamps every message: they speak the system's protocol themselves instead
//! of going through a client library, which would be measured along with it.

pub mod datagrams;
pub mod gstreamer;
pub mod headcast;
pub mod mqtt;
pub mod nats;
pub mod python;
pub mod redis;
pub mod server;
pub mod stream;
#[cfg(test)]
mod testing;
mod text;
pub mod zmtp;

/// The channel, subject or topic that everything is published on.
pub const TOPIC: &str = "headcast";
