//! A connection without a network, for the tests of protocols.

use std::io::{self, Read};

use proptest::prelude::*;

use super::stream::{Inbox, Protocol};

/// Longest frame of a test, in bytes.
const FRAME_MAX: usize = 4_096;

/// What became of the bytes.
pub(super) struct Taken<P> {
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) error: Option<String>,
    pub(super) counters: Vec<(String, u64)>,
    /// What was said to the other side.
    pub(super) out: Vec<u8>,
    pub(super) protocol: P,
}

/// Lets bytes come in pieces, each of which is read by itself.
pub(super) fn take<'a, P: Protocol>(mut protocol: P, pieces: impl IntoIterator<Item = &'a [u8]>) -> Taken<P> {
    let (mut payloads, mut out, mut error) = (Vec::new(), Vec::new(), None);
    let mut inbox = Inbox::new(FRAME_MAX);
    protocol.hello(&mut out);
    'pieces: for piece in pieces {
        let mut stream = Piece(piece);
        loop {
            let more = inbox.fill(&mut stream).expect("a piece never ends, and never fails");
            let mut deliver = |payload: &[u8]| payloads.push(payload.to_vec());
            if let Err(why) = inbox.take(&mut protocol, &mut out, &mut deliver) {
                error = Some(why.to_string());
                break 'pieces;
            }
            if !more && stream.0.is_empty() {
                break;
            }
        }
    }
    // As a reader does that is called again: what was behind the confirmation.
    if error.is_none() {
        let mut deliver = |payload: &[u8]| payloads.push(payload.to_vec());
        error = inbox.take(&mut protocol, &mut out, &mut deliver).err().map(|why| why.to_string());
    }
    Taken { payloads, error, counters: protocol.counters(), out, protocol }
}

/// No panic, whatever comes; and nothing is delivered that was not there.
pub(super) fn survives<P: Protocol>(protocol: P, before: &[u8], bytes: &[u8], pieces: &[usize]) {
    let all = [before, bytes].concat();
    let taken = take(protocol, cut(&all, pieces));
    let delivered: usize = taken.payloads.iter().map(Vec::len).sum();
    assert!(delivered <= all.len(), "{delivered} of {} bytes were delivered", all.len());
}

/// Payloads of all lengths that take another path.
pub(super) fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 100..400),
        prop::collection::vec(prop::sample::select(b"\r\n$*:MSG 0123456789".to_vec()), 0..60),
    ];
    prop::collection::vec(payload, 0..12)
}

/// How long the pieces are, over and over.
pub(super) fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..4_usize, 1..50_usize, 1..2_000_usize], 1..8)
}

/// Cuts bytes into pieces that are so long, over and over.
pub(super) fn cut<'a>(mut bytes: &'a [u8], pieces: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = pieces.iter().cycle();
    std::iter::from_fn(move || {
        let len = (*lengths.next()?).min(bytes.len());
        let (piece, rest) = bytes.split_at(len);
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

struct Piece<'a>(&'a [u8]);

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(buffer) }
    }
}
