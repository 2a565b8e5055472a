//! Frames by AF_XDP between two network namespaces: what arrives, and whether the ways are known.
//!
//! Needs root: `scripts/test` runs it. Without the feature `lab` it is not built, and without root it fails.

mod frames;
mod network;
mod parsed;
mod routes;
mod scarce;
