//! The program on loopback: what it does, and what it says when it cannot.

mod bad_input;
mod pages;
mod raw;
mod sidecar;
mod support;
