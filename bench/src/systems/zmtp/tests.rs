//! Against what a publisher sends, byte by byte, and against a scripted one on a socket.

use std::io::{Read, Write};
use std::net::TcpListener;

use proptest::prelude::*;

use super::*;
use crate::load::Reader;
use crate::systems::testing::{self, Taken};

fn greeting(minor: u8) -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, minor];
    greeting.extend_from_slice(b"NULL");
    greeting.resize(GREETING_LEN, 0);
    greeting
}

/// As libzmq writes it: an XPUB socket has no identity to tell.
fn ready(socket: &str) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    body.push(u8::try_from(socket.len()).expect("short"));
    body.extend_from_slice(socket.as_bytes());
    let mut frame = vec![4, u8::try_from(body.len()).expect("short")];
    frame.extend_from_slice(&body);
    frame
}

fn hello(minor: u8) -> Vec<u8> {
    [greeting(minor), ready("XPUB")].concat()
}

/// What a publisher sends.
fn published(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = hello(1);
    for payload in payloads {
        match u8::try_from(payload.len()) {
            Ok(len) => bytes.extend_from_slice(&[0, len]),
            Err(_) => {
                bytes.push(2);
                bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
    }
    bytes
}

#[test]
fn payloads_come_out_whatever_the_pieces() {
    let payloads = [b"".to_vec(), vec![4; 255], vec![2; 256], vec![1; 2_000], b"last".to_vec()];
    for piece in 1..200 {
        let taken = testing::take(Sub::default(), published(&payloads).chunks(piece));
        assert_eq!(taken.error, None);
        assert_eq!(taken.payloads, payloads, "in pieces of {piece}");
    }
}

#[test]
fn a_peer_of_each_version_gets_the_subscription_that_it_understands() {
    let expected = [
        // 3.0: a message that begins with 1.
        (0, vec![0, 1, 1]),
        (1, b"\x04\x0a\x09SUBSCRIBE".to_vec()),
    ];
    for (minor, subscription) in expected {
        let Taken { out, error, protocol, .. } = testing::take(Sub::default(), hello(minor).chunks(5));
        assert_eq!(error, None);
        assert!(protocol.is_ready());
        assert_eq!(out, [greeting_of_ours(), ready("SUB"), subscription].concat(), "3.{minor}");
    }
}

fn greeting_of_ours() -> Vec<u8> {
    let mut greeting = greeting(1);
    // The length of an identity, for those who speak 1.0; nobody who does is of use here.
    greeting[8] = 0;
    greeting
}

#[test]
fn a_ping_is_answered_with_its_context_between_messages() {
    let mut bytes = hello(1);
    bytes.extend_from_slice(b"\0\x03one");
    bytes.extend_from_slice(b"\x04\x0b\x04PING\0\x0aabcd");
    bytes.extend_from_slice(b"\0\x03two");
    for piece in 1..20 {
        let taken = testing::take(Sub::default(), bytes.chunks(piece));
        assert_eq!(taken.payloads, [b"one", b"two"]);
        assert!(taken.out.ends_with(b"\x04\x09\x04PONGabcd"), "{:?}", taken.out.escape_ascii().to_string());
        assert_eq!(taken.counters[1], ("zeromq pings".into(), 1));
    }
}

#[test]
fn only_the_last_frame_of_a_message_is_its_payload() {
    let bytes = [hello(1), b"\x01\x05topic\0\x07payload".to_vec()].concat();
    let taken = testing::take(Sub::default(), bytes.chunks(3));
    assert_eq!(taken.payloads, [b"payload"]);
    assert_eq!(taken.counters[0], ("zeromq envelopes".into(), 1));
}

#[test]
fn whoever_is_no_publisher_is_refused_with_the_reason() {
    let mut old = greeting(0);
    old[10] = 2;
    let mut curve = greeting(1);
    curve[12..17].copy_from_slice(b"CURVE");
    let cases = [
        (old, "ZMTP 2.0"),
        (curve, "CURVE"),
        ([greeting(1), ready("PUSH")].concat(), "\"PUSH\" socket"),
        ([greeting(1), b"\x04\x0a\x05ERROR\x03no!".to_vec()].concat(), "it said: no!"),
        ([greeting(1), b"\0\x03one".to_vec()].concat(), "before it was ready"),
        (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "no greeting"),
    ];
    for (bytes, reason) in cases {
        let error = testing::take(Sub::default(), bytes.chunks(9)).error.expect(reason);
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_frame_that_has_no_room_is_refused_before_it_has_come() {
    let mut bytes = hello(1);
    bytes.push(2);
    bytes.extend_from_slice(&u64::MAX.to_be_bytes());
    let error = testing::take(Sub::default(), bytes.chunks(7)).error;
    assert!(error.expect("an error").contains("an endless frame"));
}

#[test]
fn a_subscriber_reads_what_a_publisher_writes_on_a_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    let payloads: Vec<Vec<u8>> = (0..100_u8).map(|at| vec![at; 24 + 20 * usize::from(at)]).collect();
    let bytes = published(&payloads);
    let publisher = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a subscriber");
        let (greeting, rest) = bytes.split_at(GREETING_LEN);
        stream.write_all(greeting).expect("room");
        let mut theirs = vec![0; GREETING_LEN + ready("SUB").len()];
        stream.read_exact(&mut theirs).expect("a greeting");
        let (ready, messages) = rest.split_at(ready("XPUB").len());
        stream.write_all(ready).expect("room");
        let mut subscription = [0; 12];
        stream.read_exact(&mut subscription).expect("a subscription");
        assert_eq!(&subscription, b"\x04\x0a\x09SUBSCRIBE");
        stream.write_all(messages).expect("room");
    });
    let mut subscriber = Subscriber::connect(address).expect("it is ready");
    let mut came = Vec::new();
    let error = loop {
        // Bounded: the publisher ends the connection.
        match subscriber.read(&mut |payload| came.push(payload.to_vec())) {
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert_eq!(came, payloads);
    let told = error.to_string();
    assert!(told.contains(&address.to_string()) && told.contains("closed the connection"), "{told}");
    publisher.join().expect("its script went through");
}

proptest! {
    #[test]
    fn any_payloads_in_any_pieces_are_delivered_once_and_in_order(
        payloads in testing::payloads(),
        pieces in testing::pieces(),
    ) {
        let bytes = published(&payloads);
        let taken = testing::take(Sub::default(), testing::cut(&bytes, &pieces));
        prop_assert_eq!(taken.error, None);
        prop_assert_eq!(taken.payloads, payloads);
    }

    #[test]
    fn garbage_is_an_error_or_waits_for_more(bytes: Vec<u8>, pieces in testing::pieces()) {
        testing::survives(Sub::default(), b"", &bytes, &pieces);
        testing::survives(Sub::default(), &greeting(1), &bytes, &pieces);
        testing::survives(Sub::default(), &hello(1), &bytes, &pieces);
    }
}
