//! The program on loopback: what it does, and what it says when it cannot.

mod bad_input;
mod pages;
mod raw;
mod recorder;
mod respond;
#[path = "../common/running.rs"]
mod running;
mod sidecar;
mod support;
