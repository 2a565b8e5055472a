//! Responses built by hand, and what comes back.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use headcast::{Session, StreamId, clock};
use headcast_proto::response::{self, RESPONSE_ROOM, Subject};
use headcast_proto::{Datagram, Sequencer, body};

use crate::support::{SOON, now};

/// Where the fields of a response lie.
pub(crate) mod at {
    pub(crate) const VERSION_KIND: usize = 0;
    pub(crate) const FLAGS: usize = 1;
    pub(crate) const KEY: usize = 2;
    pub(crate) const PATH: usize = 3;
    pub(crate) const STREAM: usize = 4;
    pub(crate) const PAYLOAD_LEN: usize = 6;
    pub(crate) const INDEX: usize = 12;
    pub(crate) const FRAGMENTS: usize = 14;
    pub(crate) const SESSION: usize = 16;
    pub(crate) const SEQ: usize = 24;
    pub(crate) const TIMESTAMP: usize = 32;
    pub(crate) const EXTENSION_LEN: usize = 40;
    pub(crate) const EXTENSION_KIND: usize = 42;
    pub(crate) const HELD_FROM: usize = 48;
    pub(crate) const SUBJECT_SESSION: usize = 64;
    pub(crate) const SUBJECT_SEQ: usize = 72;
}

/// The first response of a responder, right in every way.
pub(crate) fn response(responder: u32, result: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; RESPONSE_ROOM];
    datagram.extend(result);
    let now = clock::now();
    let mut sequencer = Sequencer::new(responder, Session::new(now.unix_ns / 1_000_000, 1), 0);
    let id = StreamId { publisher: 9, session: Session::new(1_750_000_000_000, 2), stream: 3 };
    response::seal(&mut sequencer, &mut datagram, now, Subject { id, seq: 1, part: 0 });
    datagram
}

/// Writes over a field.
pub(crate) fn put<const N: usize>(datagram: &mut [u8], at: usize, bytes: [u8; N]) {
    datagram[at..at + N].copy_from_slice(&bytes);
}

/// Sends a datagram until it is acknowledged; returns the acknowledgement's `next` and bitmap.
pub(crate) fn acknowledged(to: SocketAddr, datagram: &[u8]) -> (u64, u64) {
    let own = if to.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
    let socket = UdpSocket::bind(own).expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    let deadline = now() + SOON;
    let mut bytes = [0; 256];
    while now() < deadline {
        socket.send_to(datagram, to).expect("sent");
        let Ok(len) = socket.recv(&mut bytes) else { continue };
        let ack = Datagram::parse(&bytes[..len]).expect("valid");
        let ack = body::ack(ack.payload()).expect("an acknowledgement");
        return (ack.next.get(), ack.bitmap.get());
    }
    panic!("no acknowledgement within {SOON:?}");
}
