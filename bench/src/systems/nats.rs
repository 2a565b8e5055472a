//! NATS, its client protocol (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).

use std::io;
use std::net::SocketAddr;

use super::TOPIC;
use super::stream::{self, Connection, Encode, Protocol};
use super::text::{append_number, block, garbage, line, number, number_line};

/// Sends `PUB`.
pub type Publisher = stream::Publisher<Client>;
/// Has sent `SUB`, and takes every `MSG`.
pub type Subscriber = stream::Subscriber<Client>;

/// Bytes of a line: what the server tells about itself is the longest.
const LINE_MAX: usize = 32 << 10;
/// No answer to every message, and no check of subjects; headers would be another kind of message.
const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\"headers\":false,\
    \"lang\":\"rust\",\"name\":\"headcast-bench\",\"version\":\"0\",\"protocol\":1}\r\n";
const SUB: &[u8] = b"SUB headcast 1\r\n";
const PUB: &[u8] = b"PUB headcast ";
/// What is in front of the length of every payload: the server sends it always the same to a subscriber.
const MSG: &[u8] = b"MSG headcast 1 ";
const _: () = assert!(TOPIC.len() == 8, "it is written out");

impl Publisher {
    /// Waits until the server has accepted it.
    ///
    /// # Errors
    /// When no NATS server answers there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Connection::open(address, Client::default()).map(Self::over)
    }
}

impl Subscriber {
    /// Subscribes, and waits until the server has read that: it answers what it was sent in order.
    ///
    /// # Errors
    /// When no NATS server answers there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Connection::open(address, Client { subscribes: true, ..Client::default() }).map(Self::over)
    }
}

/// The protocol, of both sides.
#[derive(Debug, Default)]
pub struct Client {
    subscribes: bool,
    greeted: bool,
    ready: bool,
    pings: u64,
}

impl Protocol for Client {
    const PEER: &'static str = "the NATS server";

    /// The server speaks first.
    fn hello(&mut self, _: &mut Vec<u8>) {}

    #[inline]
    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        deliver: &mut impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            if self.ready
                && let Some(sized) = rest.strip_prefix(MSG)
            {
                let Some((len, digits)) = number_line(sized)? else { return Ok(taken) };
                let Some((payload, len)) = block(&sized[digits..], len)? else { return Ok(taken) };
                deliver(payload);
                taken += MSG.len() + digits + len;
                continue;
            }
            let Some((line, len)) = line(rest, LINE_MAX)? else {
                return if may_begin_a_line(rest) { Ok(taken) } else { Err(garbage("no operation", rest)) };
            };
            if let Some(header) = line.strip_prefix(b"MSG ") {
                // Before it is ready: somebody is sending already.
                let Some((_, block_len)) = block(&rest[len..], last_number(header)?)? else {
                    return Ok(taken);
                };
                taken += block_len;
            }
            taken += len;
            let was_ready = self.ready;
            self.obey(line, out)?;
            if self.ready && !was_ready {
                return Ok(taken);
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn counters(&self) -> Vec<(String, u64)> {
        vec![("nats pings".into(), self.pings)]
    }
}

impl Encode for Client {
    #[inline]
    fn encode(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(PUB);
        append_number(out, payload.len());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
    }
}

impl Client {
    /// Everything that carries no message for us.
    #[cold]
    fn obey(&mut self, line: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match line {
            // It tells again when something has changed.
            [b'I', b'N', b'F', b'O', b' ', ..] => {
                if !self.greeted {
                    self.greeted = true;
                    out.extend_from_slice(CONNECT);
                    if self.subscribes {
                        out.extend_from_slice(SUB);
                    }
                    out.extend_from_slice(b"PING\r\n");
                }
            }
            b"PING" if self.greeted => {
                out.extend_from_slice(b"PONG\r\n");
                self.pings += 1;
            }
            b"PONG" if self.greeted => self.ready = true,
            b"+OK" => {}
            [b'M', b'S', b'G', b' ', ..] if self.subscribes && !self.ready => {}
            [b'-', b'E', b'R', b'R', why @ ..] => {
                let why = String::from_utf8_lossy(why);
                return Err(io::Error::other(format!("it said: {}", why.trim())));
            }
            _ => return Err(garbage("what nobody has asked for", line)),
        }
        Ok(())
    }
}

/// Whether this may be the beginning of what a server says.
fn may_begin_a_line(bytes: &[u8]) -> bool {
    let operations: [&[u8]; 6] = [b"INFO ", b"MSG ", b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR"];
    operations.iter().any(|operation| operation.iter().zip(bytes).all(|(theirs, ours)| theirs == ours))
}

fn last_number(header: &[u8]) -> io::Result<usize> {
    number(header.rsplit(|byte| *byte == b' ').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::systems::testing::{self, Taken};

    const READY: &[u8] = b"INFO {\"server_id\":\"x\",\"max_payload\":1048576} \r\nPONG\r\n";

    fn subscriber() -> Client {
        Client { subscribes: true, ..Client::default() }
    }

    /// What a subscriber gets.
    fn sent(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = READY.to_vec();
        for payload in payloads {
            bytes.extend_from_slice(format!("MSG headcast 1 {}\r\n", payload.len()).as_bytes());
            bytes.extend_from_slice(payload);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    #[test]
    fn payloads_come_out_whatever_the_pieces() {
        let payloads = [b"".to_vec(), b"PING\r\n".to_vec(), b"MSG headcast 1 9".to_vec(), vec![0xff; 1_000]];
        for piece in 1..60 {
            let taken = testing::take(subscriber(), sent(&payloads).chunks(piece));
            assert_eq!(taken.error, None);
            assert_eq!(taken.payloads, payloads, "in pieces of {piece}");
        }
    }

    #[test]
    fn the_server_is_answered_in_its_order() {
        for piece in 1..20 {
            let said = [READY, b"PING\r\n+OK\r\nINFO {}\r\nPING\r\n"].concat();
            let Taken { out, error, counters, .. } = testing::take(subscriber(), said.chunks(piece));
            assert_eq!(error, None);
            assert_eq!(out, [CONNECT, SUB, b"PING\r\nPONG\r\nPONG\r\n"].concat());
            assert_eq!(counters, [("nats pings".into(), 2)]);
        }
    }

    #[test]
    fn what_came_before_the_confirmation_is_not_delivered() {
        let said = b"INFO {}\r\nMSG headcast 1 6\r\nPONG\r\n\r\nPONG\r\nMSG headcast 1 2\r\nhi\r\n";
        for piece in 1..40 {
            let taken = testing::take(subscriber(), said.chunks(piece));
            assert_eq!((taken.error, taken.payloads), (None, vec![b"hi".to_vec()]), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_complaint_of_the_server_is_an_error_with_its_words() {
        let said = [READY, b"-ERR 'Maximum Payload Violation'\r\n"].concat();
        let error = testing::take(Client::default(), said.chunks(7)).error.expect("an error");
        assert!(error.contains("'Maximum Payload Violation'"), "{error}");
    }

    #[test]
    fn whoever_is_no_nats_server_is_refused_at_once() {
        for said in ["HTTP/1.1 400 Bad Request\r\n", "HTT", "PONG\r\n", "PING\r\n", "\r\n"] {
            let error = testing::take(Client::default(), [said.as_bytes()]).error;
            assert!(error.is_some(), "{said:?}");
        }
    }

    #[test]
    fn a_message_is_what_nats_expects() {
        let mut out = Vec::new();
        Client::default().encode(b"payload", &mut out);
        assert_eq!(out, b"PUB headcast 7\r\npayload\r\n");
        assert!(CONNECT.ends_with(b"}\r\n") && !CONNECT.contains(&b'\\'));
    }

    proptest! {
        #[test]
        fn any_payloads_in_any_pieces_are_delivered_once_and_in_order(
            payloads in testing::payloads(),
            pieces in testing::pieces(),
        ) {
            let bytes = sent(&payloads);
            let taken = testing::take(subscriber(), testing::cut(&bytes, &pieces));
            prop_assert_eq!(taken.error, None);
            prop_assert_eq!(taken.payloads, payloads);
        }

        #[test]
        fn garbage_is_an_error_or_waits_for_more(bytes: Vec<u8>, pieces in testing::pieces()) {
            testing::survives(subscriber(), b"", &bytes, &pieces);
            testing::survives(subscriber(), READY, &bytes, &pieces);
        }

        #[test]
        fn a_byte_that_is_wrong_does_no_harm(
            payloads in testing::payloads(),
            at: prop::sample::Index,
            byte: u8,
            pieces in testing::pieces(),
        ) {
            let mut bytes = sent(&payloads);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            testing::survives(subscriber(), b"", &bytes, &pieces);
        }
    }
}
