//! Datagrams that a recorder must refuse, each with the reason that it counts.

use headcast_proto::Kind;
use headcast_proto::stored::SPAN;

use crate::raw::{at, put, response};

/// A datagram, and why it is refused.
pub(crate) struct Forgery {
    pub(crate) reason: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// Responses with something wrong, one of each kind or more.
pub(crate) fn all() -> Vec<Forgery> {
    let beyond = (i64::MAX.cast_unsigned() + 1).to_le_bytes();
    let mut all = vec![
        cut("too_short", 0),
        cut("too_short", 39),
        cut("payload_length", 40),
        cut("payload_length", 56),
        cut("payload_length", 85),
        Forgery { reason: "version", bytes: vec![0xff; 1200] },
        changed("version", at::VERSION_KIND, [0x24]),
        changed("version", at::VERSION_KIND, [0x04]),
        changed("kind", at::VERSION_KIND, [0x19]),
        changed("reserved_bits", at::FLAGS, [0x48]),
        changed("reserved_bits", at::PATH, [0x80]),
        changed("payload_length", at::PAYLOAD_LEN, [0xff, 0xff]),
        changed("extension", at::EXTENSION_LEN, [0, 0]),
        changed("extension", at::EXTENSION_LEN, [9, 0]),
        changed("extension", at::EXTENSION_KIND, [0x01]),
        changed("payload_length", at::EXTENSION_LEN, [0xf8, 0xff]),
        changed("sealed", at::KEY, [1]),
        changed("sequence", at::SEQ, 0u64.to_le_bytes()),
        changed("sequence", at::SEQ, beyond),
        changed("sequence", at::SUBJECT_SEQ, beyond),
        changed("sequence", at::HELD_FROM, 2u64.to_le_bytes()),
        changed("sequence", at::HELD_FROM, u64::MAX.to_le_bytes()),
        changed("jump", at::SEQ, (SPAN + 1).to_le_bytes()),
        changed("session_after_timestamp", at::TIMESTAMP, 1u64.to_le_bytes()),
        changed("session_implausible", at::SUBJECT_SESSION, beyond),
        changed("fragment", at::INDEX, [1, 0]),
        changed("fragment", at::FRAGMENTS, [2, 0]),
        changed("fragment", at::FLAGS, [0x0a]),
        changed("body", at::SUBJECT_SEQ, 0u64.to_le_bytes()),
        changed("stream", at::STREAM, [1, 0]),
        changed("unexpected", at::VERSION_KIND, [Kind::Data.first_byte()]),
        changed("unexpected", at::VERSION_KIND, [Kind::Report.first_byte()]),
        changed("body", at::VERSION_KIND, [Kind::Heartbeat.first_byte()]),
        changed("body", at::VERSION_KIND, [Kind::Ack.first_byte()]),
    ];
    let mut longer = valid();
    longer.push(0);
    all.push(Forgery { reason: "payload_length", bytes: longer });
    let mut sealed = valid();
    sealed.extend([0; 16]);
    put(&mut sealed, at::FLAGS, [0x0c]);
    put(&mut sealed, at::KEY, [1]);
    all.push(Forgery { reason: "sealed", bytes: sealed });
    let mut late = valid();
    put(&mut late, at::SESSION, beyond);
    put(&mut late, at::TIMESTAMP, u64::MAX.to_le_bytes());
    all.push(Forgery { reason: "session_implausible", bytes: late });
    all
}

fn valid() -> Vec<u8> {
    response(0xf00d, b"forged")
}

/// The first bytes of one that is right.
fn cut(reason: &'static str, len: usize) -> Forgery {
    Forgery { reason, bytes: valid()[..len].to_vec() }
}

/// One that is right but for a field.
fn changed<const N: usize>(reason: &'static str, at: usize, to: [u8; N]) -> Forgery {
    let mut bytes = valid();
    put(&mut bytes, at, to);
    Forgery { reason, bytes }
}
