//! Redis pub/sub, in RESP2 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).

use std::io;
use std::net::SocketAddr;

use super::TOPIC;
use super::stream::{self, Connection, Encode, Protocol};
use super::text::{append_number, block, garbage, line, number, number_line};

/// Sends `PUBLISH` commands.
pub type Publisher = stream::Publisher<Commands>;
/// Has sent `SUBSCRIBE`, and takes what is pushed.
pub type Subscriber = stream::Subscriber<Pushes>;

/// Bytes of a line: an error, at most.
const LINE_MAX: usize = 4096;
/// What is in front of the length of every payload. Redis writes it always the same.
const MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage\r\n$8\r\nheadcast\r\n$";
const PUBLISH: &[u8] = b"*3\r\n$7\r\nPUBLISH\r\n$8\r\nheadcast\r\n$";
const _: () = assert!(TOPIC.len() == 8, "it is written out with its length");

impl Publisher {
    /// Each command is answered with the number of receivers, and the answers are read and counted.
    ///
    /// # Errors
    /// When no Redis answers there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Connection::open(address, Commands::default()).map(Self::over)
    }

    /// Commands are not answered (`CLIENT REPLY OFF`): the least work for both sides, and nothing is counted.
    ///
    /// # Errors
    /// When no Redis answers there.
    pub fn connect_without_replies(address: SocketAddr) -> io::Result<Self> {
        Connection::open(address, Commands { silent: true, ..Commands::default() }).map(Self::over)
    }
}

impl Subscriber {
    /// Subscribes, and waits until Redis has confirmed it.
    ///
    /// # Errors
    /// When no Redis answers there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Connection::open(address, Pushes::default()).map(Self::over)
    }
}

/// The protocol of the sending side.
#[derive(Debug, Default)]
pub struct Commands {
    ready: bool,
    silent: bool,
    sent: u64,
    replies: u64,
    receivers: u64,
}

impl Protocol for Commands {
    const PEER: &'static str = "Redis";

    fn hello(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, _: &mut impl FnMut(&[u8])) -> io::Result<usize> {
        let mut taken = 0;
        while let Some((reply, len)) = reply(&bytes[taken..])? {
            taken += len;
            match reply {
                Reply::Number(receivers) if self.ready => {
                    self.replies += 1;
                    self.receivers += receivers as u64;
                }
                Reply::Status(b"PONG") if !self.ready => {
                    self.ready = true;
                    if self.silent {
                        out.extend_from_slice(b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n");
                    }
                    break;
                }
                _ => return Err(garbage("an answer to nothing", &bytes[taken - len..])),
            }
        }
        Ok(taken)
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    /// What the last commands came to may not be known yet: `redis receivers` belongs to `redis replies`.
    fn counters(&self) -> Vec<(String, u64)> {
        if self.silent {
            return Vec::new();
        }
        vec![("redis replies".into(), self.replies), ("redis receivers".into(), self.receivers)]
    }
}

impl Encode for Commands {
    #[inline]
    fn encode(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.sent += 1;
        out.extend_from_slice(PUBLISH);
        append_number(out, payload.len());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
    }

    fn owed(&self) -> u64 {
        if self.silent { 0 } else { self.sent.saturating_sub(self.replies) }
    }
}

/// The protocol of the receiving side.
#[derive(Debug, Default)]
pub struct Pushes {
    ready: bool,
}

impl Protocol for Pushes {
    const PEER: &'static str = "Redis";

    fn hello(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*2\r\n$9\r\nSUBSCRIBE\r\n$8\r\nheadcast\r\n");
    }

    #[inline]
    fn take(&mut self, bytes: &[u8], _: &mut Vec<u8>, deliver: &mut impl FnMut(&[u8])) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            if self.ready
                && let Some(sized) = rest.strip_prefix(MESSAGE)
            {
                let Some((len, digits)) = number_line(sized)? else { return Ok(taken) };
                let Some((payload, len)) = block(&sized[digits..], len)? else { return Ok(taken) };
                deliver(payload);
                taken += MESSAGE.len() + digits + len;
                continue;
            }
            let Some((reply, len)) = reply(rest)? else { return Ok(taken) };
            match reply {
                Reply::Push { kind: b"subscribe" } if !self.ready => {
                    self.ready = true;
                    return Ok(taken + len);
                }
                _ => return Err(garbage("what nobody has subscribed to", rest)),
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.ready
    }
}

/// What Redis says.
#[derive(Debug, PartialEq)]
enum Reply<'a> {
    Status(&'a [u8]),
    Number(usize),
    /// Of up to four elements, the first of which says what it is.
    Push {
        kind: &'a [u8],
    },
}

/// The reply at the front of `bytes`, and how many bytes it takes; `None` while it has not come as a whole.
fn reply(bytes: &[u8]) -> io::Result<Option<(Reply<'_>, usize)>> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let Some((line, taken)) = line(bytes, LINE_MAX)? else {
        return if b"+-:*".contains(first) { Ok(None) } else { Err(garbage("no reply", bytes)) };
    };
    let (_, text) = line.split_first().ok_or_else(|| garbage("an empty line", bytes))?;
    match first {
        b'+' => Ok(Some((Reply::Status(text), taken))),
        b'-' => Err(io::Error::other(format!("it said: {}", String::from_utf8_lossy(text)))),
        b':' => Ok(Some((Reply::Number(number(text)?), taken))),
        b'*' => {
            Ok(push(&bytes[taken..], number(text)?)?.map(|(kind, len)| (Reply::Push { kind }, taken + len)))
        }
        _ => Err(garbage("no reply", bytes)),
    }
}

/// So many elements, the first of which must be a string.
fn push(bytes: &[u8], elements: usize) -> io::Result<Option<(&[u8], usize)>> {
    if !(1..=4).contains(&elements) {
        return Err(garbage("no push", bytes));
    }
    let (mut kind, mut taken) = (None, 0);
    for _ in 0..elements {
        let rest = &bytes[taken..];
        let Some((header, len)) = line(rest, LINE_MAX)? else { return Ok(None) };
        taken += len;
        match header.split_first() {
            Some((b'$', len)) => {
                let Some((string, len)) = block(&bytes[taken..], number(len)?)? else { return Ok(None) };
                kind.get_or_insert(string);
                taken += len;
            }
            Some((b':', _)) if kind.is_some() => {}
            _ => return Err(garbage("no push", rest)),
        }
    }
    Ok(kind.map(|kind| (kind, taken)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::systems::testing::{self, Taken};

    const CONFIRMED: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$8\r\nheadcast\r\n:1\r\n";

    /// What a subscriber gets.
    fn pushed(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = CONFIRMED.to_vec();
        for payload in payloads {
            let header = format!("*3\r\n$7\r\nmessage\r\n$8\r\nheadcast\r\n${}\r\n", payload.len());
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(payload);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    #[test]
    fn payloads_come_out_whatever_the_pieces() {
        let payloads = [b"".to_vec(), b"\r\n".to_vec(), b"*3\r\n$7\r\nmessage".to_vec(), vec![0xff; 1_000]];
        for piece in 1..60 {
            let taken = testing::take(Pushes::default(), pushed(&payloads).chunks(piece));
            assert_eq!(taken.payloads, payloads, "in pieces of {piece}");
            assert_eq!(taken.error, None);
        }
    }

    #[test]
    fn nothing_is_taken_beyond_the_confirmation() {
        let mut protocol = Pushes::default();
        let bytes = pushed(&[b"one".to_vec()]);
        let taken = protocol.take(&bytes, &mut Vec::new(), &mut |_| panic!("not yet")).expect("valid");
        assert_eq!((taken, protocol.is_ready()), (CONFIRMED.len(), true));
    }

    #[test]
    fn receivers_are_counted() {
        for piece in 1..20 {
            let replies = b"+PONG\r\n:3\r\n:0\r\n:12\r\n";
            let taken = testing::take(Commands::default(), replies.chunks(piece));
            let counts = vec![("redis replies".into(), 3), ("redis receivers".into(), 15)];
            assert_eq!((taken.error, taken.counters), (None, counts));
        }
    }

    #[test]
    fn a_complaint_of_the_server_is_an_error_with_its_words() {
        let refused = b"-NOAUTH Authentication required.\r\n";
        let Taken { error, .. } = testing::take(Commands::default(), refused.chunks(7));
        assert!(error.expect("an error").contains("NOAUTH Authentication required."));
        let Taken { error, .. } = testing::take(Pushes::default(), refused.chunks(7));
        assert!(error.expect("an error").contains("NOAUTH Authentication required."));
    }

    #[test]
    fn a_command_is_what_redis_expects() {
        let mut out = Vec::new();
        Commands::default().encode(b"payload", &mut out);
        assert_eq!(out, b"*3\r\n$7\r\nPUBLISH\r\n$8\r\nheadcast\r\n$7\r\npayload\r\n");
    }

    proptest! {
        #[test]
        fn any_payloads_in_any_pieces_are_delivered_once_and_in_order(
            payloads in testing::payloads(),
            pieces in testing::pieces(),
        ) {
            let bytes = pushed(&payloads);
            let taken = testing::take(Pushes::default(), testing::cut(&bytes, &pieces));
            prop_assert_eq!(taken.error, None);
            prop_assert_eq!(taken.payloads, payloads);
        }

        #[test]
        fn garbage_is_an_error_or_waits_for_more(bytes: Vec<u8>, pieces in testing::pieces()) {
            testing::survives(Pushes::default(), CONFIRMED, &bytes, &pieces);
            testing::survives(Commands::default(), b"+PONG\r\n", &bytes, &pieces);
        }

        #[test]
        fn a_byte_that_is_wrong_does_no_harm(
            payloads in testing::payloads(),
            at: prop::sample::Index,
            byte: u8,
            pieces in testing::pieces(),
        ) {
            let mut bytes = pushed(&payloads);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            testing::survives(Pushes::default(), b"", &bytes, &pieces);
        }
    }
}
