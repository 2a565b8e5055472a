//! Messages that share a datagram, and datagrams that come in trains: what a subscriber makes of both.

mod shared;
mod support;
mod trains;
