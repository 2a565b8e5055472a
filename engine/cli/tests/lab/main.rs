//! What it must stand, on real sockets and with a real DNS server.
//!
//! Needs root, for network namespaces: `scripts/test` runs it. Without the feature `lab` it is not
//! built, and without root it fails.

mod chance;
mod dns;
mod faults;
mod forged;
mod interrupted;
mod presence;
mod processes;
mod programs;
mod repair;
#[path = "../common/running.rs"]
mod running;
mod scale;
mod support;
mod trains;
mod xdp;
