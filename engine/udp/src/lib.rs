//! The kernel boundary: many datagrams for one system call, out and in.
//!
//! A service with a hundred pods needs a hundred datagrams for one message. The plain way makes a
//! hundred system calls and, for each, builds an address and a header that are the same as last
//! time. [`Batch`] builds them once per peer set; a message then costs two stores and, up to 1,024
//! peers, one `sendmmsg`.
//!
//! [`Lane`] goes past the IP stack: frames, prepared for the next hops that [`Routes`] knows, by AF_XDP.
//!
//! How it degrades: where the kernel or a sandbox has no `sendmmsg` (`ENOSYS`), a latch turns it off
//! and the same peers are sent to one by one, by `sendto`. What was found is in [`Capabilities`].
//!
//! This is the only crate of the workspace with `unsafe` code. Each block holds one operation, and
//! its comment argues who owns what the kernel is given, for how long, and who may write to it.

mod batch;
mod capabilities;
mod control;
mod error;
mod inbox;
mod name;
mod peers;
mod receive;
mod route;
mod socket;
// Miri makes no system calls: in its place a kernel that only touches the memory it is given.
#[cfg_attr(all(test, miri), path = "sys/miri.rs")]
mod sys;
mod xdp;

pub use batch::{Batch, CALL_MAX, Outcome, Progress, TRAIN_BYTES_MAX, TRAIN_MAX, TrainProgress};
pub use capabilities::{Buffer, Capabilities};
pub use error::SendError;
pub use inbox::{Flaw, Inbox, Opened, segments};
pub use nix::errno::Errno;
pub use peers::{Failure, Peers};
pub use receive::{BATCH_MAX as RECEIVE_MAX, Meta, ReceiveBatch};
pub use route::{Routes, Way};
pub use socket::{answers, egress, ingress, ingress_unix, receive_trains};
pub use xdp::{Lane, NextHop, Template, Xdp, XdpError};
