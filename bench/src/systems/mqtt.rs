//! MQTT 3.1.1 with QoS 0, as Mosquitto speaks it (<https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/>).

use std::io;
use std::net::SocketAddr;

use super::TOPIC;
use super::stream::{self, Connection, Encode, Protocol};
use super::text::garbage;

/// Sends `PUBLISH`.
pub type Publisher = stream::Publisher<Client>;
/// Has sent `SUBSCRIBE`, and takes every `PUBLISH`.
pub type Subscriber = stream::Subscriber<Client>;

/// Packet types with their fixed flags (section 2.2).
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBLISH_MAX: u8 = 0x3f;
const SUBACK: u8 = 0x90;
const PINGRESP: u8 = 0xd0;
/// Of a `PUBLISH`, what a message of QoS 0 may have: it was retained.
const RETAIN: u8 = 1;
/// A clean session that needs no sign of life, with an identifier of the server's choice (section 3.1).
const CONNECT: &[u8] = b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0";
/// Packet 1: the topic with QoS 0 (section 3.8).
const SUBSCRIBE: &[u8] = b"\x82\x0d\0\x01\0\x08headcast\0";
const TOPIC_LEN: usize = 2 + TOPIC.len();
const _: () = assert!(TOPIC.len() == 8, "it is written out with its length");
/// Bytes that a length takes at most, of seven bits each (section 2.2.3).
const LENGTH_MAX: usize = 4;

impl Publisher {
    /// Waits until the server has accepted it.
    ///
    /// # Errors
    /// When no MQTT server answers there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Connection::open(address, Client::default()).map(Self::over)
    }
}

impl Subscriber {
    /// Subscribes, and waits until the server has confirmed it.
    ///
    /// # Errors
    /// When no MQTT server answers there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Connection::open(address, Client { subscribes: true, ..Client::default() }).map(Self::over)
    }
}

/// The protocol, of both sides.
#[derive(Debug, Default)]
pub struct Client {
    subscribes: bool,
    connected: bool,
    ready: bool,
}

impl Protocol for Client {
    const PEER: &'static str = "the MQTT server";

    fn hello(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(CONNECT);
    }

    #[inline]
    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        deliver: &mut impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        let mut taken = 0;
        while let Some((kind, body, len)) = packet(&bytes[taken..])? {
            taken += len;
            if kind & !RETAIN == PUBLISH && self.subscribes && self.connected {
                let payload = payload(body)?;
                // Before its confirmation somebody may be sending already.
                if self.ready {
                    deliver(payload);
                }
                continue;
            }
            let was_ready = self.ready;
            self.obey(kind, body, out)?;
            if self.ready && !was_ready {
                break;
            }
        }
        Ok(taken)
    }

    fn is_ready(&self) -> bool {
        self.ready
    }
}

impl Encode for Client {
    #[inline]
    fn encode(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        out.push(PUBLISH);
        append_length(out, TOPIC_LEN + payload.len());
        out.extend_from_slice(b"\0\x08headcast");
        out.extend_from_slice(payload);
    }
}

impl Client {
    /// Everything that carries no message.
    #[cold]
    fn obey(&mut self, kind: u8, body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match (kind, body) {
            (CONNACK, [_, 0]) if !self.connected => {
                self.connected = true;
                if self.subscribes {
                    out.extend_from_slice(SUBSCRIBE);
                } else {
                    self.ready = true;
                }
            }
            (CONNACK, [_, code]) if !self.connected => {
                return Err(io::Error::other(format!("it refused: {}", refusal(*code))));
            }
            (SUBACK, [0, 1, 0]) if self.connected && self.subscribes && !self.ready => self.ready = true,
            (SUBACK, [0, 1, code]) if self.subscribes => {
                return Err(io::Error::other(format!("it refused the subscription with code {code:#04x}")));
            }
            (PINGRESP, []) if self.connected => {}
            _ => return Err(garbage("what nobody has asked for", &[&[kind], body].concat())),
        }
        Ok(())
    }
}

/// Section 3.2.2.3.
fn refusal(code: u8) -> &'static str {
    match code {
        1 => "it does not speak MQTT 3.1.1",
        2 => "it wants an identifier",
        3 => "it is not available",
        4 => "it wants a user and a password",
        5 => "nobody may connect without being known (allow_anonymous)",
        _ => "for a reason that MQTT 3.1.1 does not know",
    }
}

/// The packet at the front of `bytes`: its first byte, what comes behind its length, and how many bytes it takes.
#[inline]
fn packet(bytes: &[u8]) -> io::Result<Option<(u8, &[u8], usize)>> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
    if !matches!(*kind, CONNACK | PUBLISH..=PUBLISH_MAX | SUBACK | PINGRESP) {
        return Err(garbage("what no server sends to us", bytes));
    }
    let mut len = 0;
    for (at, byte) in rest.iter().take(LENGTH_MAX).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let body = rest.get(at + 1..at + 1 + len);
            return Ok(body.map(|body| (*kind, body, 2 + at + len)));
        }
    }
    if rest.len() < LENGTH_MAX { Ok(None) } else { Err(garbage("an endless length", bytes)) }
}

/// What is behind the topic of a `PUBLISH` of QoS 0.
#[inline]
fn payload(body: &[u8]) -> io::Result<&[u8]> {
    let payload = body
        .split_first_chunk::<2>()
        .and_then(|(len, rest)| rest.get(usize::from(u16::from_be_bytes(*len))..));
    payload.ok_or_else(|| garbage("a message without a topic", body))
}

#[inline]
fn append_length(out: &mut Vec<u8>, mut len: usize) {
    loop {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits")]
        let low = (len & 0x7f) as u8;
        len >>= 7;
        if len == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::systems::testing::{self, Taken};

    const READY: &[u8] = b"\x20\x02\0\0\x90\x03\0\x01\0";

    fn subscriber() -> Client {
        Client { subscribes: true, ..Client::default() }
    }

    /// What a subscriber gets.
    fn sent(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = READY.to_vec();
        for payload in payloads {
            let len = 10 + payload.len();
            bytes.push(0x30);
            // Two bytes hold all lengths from 128 to 16383.
            match u8::try_from(len) {
                Ok(len) if len < 128 => bytes.push(len),
                _ => bytes.extend(
                    [len % 128 + 128, len / 128].map(|byte| u8::try_from(byte).expect("below 16384")),
                ),
            }
            bytes.extend_from_slice(b"\0\x08headcast");
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    #[test]
    fn payloads_come_out_whatever_the_pieces() {
        let payloads = [b"".to_vec(), vec![0x30; 117], vec![0x20; 118], vec![0xff; 2_000]];
        for piece in 1..60 {
            let taken = testing::take(subscriber(), sent(&payloads).chunks(piece));
            assert_eq!(taken.error, None);
            assert_eq!(taken.payloads, payloads, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_subscriber_connects_and_then_subscribes() {
        for piece in 1..5 {
            let Taken { out, error, protocol, .. } = testing::take(subscriber(), READY.chunks(piece));
            assert_eq!((error, protocol.is_ready()), (None, true));
            assert_eq!(out, [CONNECT, SUBSCRIBE].concat());
        }
    }

    #[test]
    fn every_fixed_packet_has_the_length_that_it_says() {
        for bytes in [CONNECT, SUBSCRIBE] {
            assert_eq!(usize::from(bytes[1]), bytes.len() - 2);
        }
    }

    #[test]
    fn lengths_are_written_as_they_are_read() {
        for len in [0, 127, 128, 16_383, 16_384, 268_435_455] {
            let mut out = vec![PUBLISH];
            append_length(&mut out, len);
            let header = out.len();
            assert_eq!(packet(&out).expect("valid").is_some(), len == 0, "its body has not come");
            if len < 20_000 {
                out.resize(header + len, 1);
                assert_eq!(packet(&out).expect("valid").map(|(.., len)| len), Some(header + len));
            }
        }
    }

    #[test]
    fn what_came_before_the_confirmation_is_not_delivered() {
        let said = b"\x20\x02\0\0\x30\x0c\0\x08headcastno\x90\x03\0\x01\0\x30\x0c\0\x08headcasthi";
        for piece in 1..40 {
            let taken = testing::take(subscriber(), said.chunks(piece));
            assert_eq!((taken.error, taken.payloads), (None, vec![b"hi".to_vec()]), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_refusal_is_an_error_that_says_why() {
        let cases: [(&[u8], &str); 4] = [
            (b"\x20\x02\0\x05", "allow_anonymous"),
            (b"\x20\x02\0\0\x90\x03\0\x01\x80", "0x80"),
            (b"\x20\x02\0\0\x32\x10\0\x08headcast\0\x01abcd", "what nobody has asked for"),
            (
                b"HTTP/1.1 400 Bad Request\r\n\r\nand what else there may be behind it..................",
                "HTTP",
            ),
        ];
        for (said, reason) in cases {
            let error = testing::take(subscriber(), [said]).error.expect(reason);
            assert!(error.contains(reason), "{error}");
        }
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
        fn a_message_is_what_a_subscriber_reads(payload: Vec<u8>) {
            let mut ours = Vec::new();
            subscriber().encode(&payload, &mut ours);
            prop_assert_eq!(&ours[..], &sent(std::slice::from_ref(&payload))[READY.len()..]);
        }

        #[test]
        fn garbage_is_an_error_or_waits_for_more(bytes: Vec<u8>, pieces in testing::pieces()) {
            testing::survives(subscriber(), b"", &bytes, &pieces);
            testing::survives(subscriber(), READY, &bytes, &pieces);
        }
    }
}
