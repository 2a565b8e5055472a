//! What it must stand, on real sockets and with a real DNS server.
//!
//! Needs root, for network namespaces: `scripts/test` runs it. Without the feature `lab` it is not
//! built, and without root it fails.

mod dns;
mod faults;
mod processes;
#[path = "../common/running.rs"]
mod running;
mod scale;
mod support;
