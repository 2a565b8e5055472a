//! Against scripted peers on a socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::*;
use crate::load::{Reader, Transport};
use crate::systems::{mqtt, nats, redis};

const NATS_READY: &[u8] = b"INFO {}\r\nPONG\r\n";

#[test]
fn whoever_says_nothing_is_given_up() {
    // The kernel accepts, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    let within = Duration::from_millis(30);
    let error = Connection::open_within(within, address, redis::Pushes::default()).expect_err("no answer");
    let wanted = format!("Redis at {address}: it did not answer as it should within 30ms");
    assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::TimedOut, wanted));
}

#[test]
fn where_nobody_listens_is_said() {
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|closed| closed.local_addr()).expect("an address");
    let error = mqtt::Publisher::connect(address).expect_err("nobody is there").to_string();
    assert!(error.starts_with(&format!("the MQTT server at {address}: Connection refused")), "{error}");
}

#[test]
fn everything_is_written_to_a_peer_that_reads_late_and_asks_meanwhile() {
    const MESSAGES: usize = 3_000;
    let payload = vec![b'x'; 4_000];
    // More than the socket buffers hold, so it is waited for room; and it asks before it reads.
    let (address, peer) = peer(|mut stream| {
        stream.write_all(NATS_READY).expect("room");
        let mut said = Vec::new();
        // Once something has come that is more than the greeting, it is being written to.
        let mut buffer = vec![0; 64 << 10];
        while said.len() < 1 << 20 {
            let count = stream.read(&mut buffer).expect("readable");
            said.extend_from_slice(&buffer[..count]);
            stream.write_all(b"PING\r\n").expect("room");
        }
        stream.read_to_end(&mut said).map(|_| said)
    });
    let mut publisher = nats::Publisher::connect(address).expect("ready");
    for _ in 0..MESSAGES {
        assert!(publisher.send(&payload).expect("room"));
    }
    publisher.flush().expect("room");
    // Whatever it has asked by now is answered, behind everything else.
    publisher.finish(Duration::from_millis(20)).expect("it is there");
    let pings = publisher.counters()[0].1;
    // It ends with the publisher.
    drop(publisher);
    let said = peer.join().expect("no panic").expect("readable");

    let message = [b"PUB headcast 4000\r\n", &payload[..], b"\r\n"].concat();
    let mut rest = &said[said.windows(6).position(|six| six == b"PING\r\n").expect("a greeting") + 6..];
    let (mut messages, mut pongs) = (0, 0);
    while !rest.is_empty() {
        if let Some(next) = rest.strip_prefix(&message[..]) {
            (messages, rest) = (messages + 1, next);
        } else {
            rest = rest.strip_prefix(b"PONG\r\n").expect("whole frames only");
            pongs += 1;
        }
    }
    assert_eq!(messages, MESSAGES);
    assert!(pings > 0 && pongs == pings, "{pongs} of {pings}");
}

#[test]
fn answers_are_read_even_if_there_is_never_time_to_wait() {
    let (address, peer) = peer(|mut stream| {
        let mut hello = [0; 14];
        stream.read_exact(&mut hello)?;
        assert_eq!(&hello, b"*1\r\n$4\r\nPING\r\n");
        stream.write_all(b"+PONG\r\n")?;
        let mut said = Vec::new();
        stream.write_all(b"-ERR not any more\r\n")?;
        stream.read_to_end(&mut said).map(|_| said)
    });
    let mut publisher = redis::Publisher::connect(address).expect("ready");
    // Bounded by the count: within so many flushes the complaint is read, once it is there.
    let error = (0..1_000_000).find_map(|_| publisher.send(b"x").and_then(|_| publisher.flush()).err());
    assert!(error.expect("it is read").to_string().contains("it said: ERR not any more"));
    drop(publisher);
    // It may have been reset.
    let _ = peer.join().expect("no panic");
}

#[test]
fn a_message_that_came_with_the_confirmation_is_the_first_one() {
    let (address, peer) = peer(|mut stream| {
        stream.write_all(b"\x20\x02\0\0\x90\x03\0\x01\0\x30\x0c\0\x08headcasthi")?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).map(|_| said)
    });
    let mut subscriber = mqtt::Subscriber::connect(address).expect("ready");
    let mut came = Vec::new();
    // Nothing more comes from the socket, and it is handed over all the same.
    assert!(!subscriber.read(&mut |payload| came.push(payload.to_vec())).expect("it is there"));
    assert_eq!(came, [b"hi"]);
    drop(subscriber);
    peer.join().expect("no panic").expect("readable");
}

#[test]
fn a_read_that_fills_the_buffer_is_followed_by_another_one() {
    let payload = vec![b'x'; 1_000];
    let message = [b"MSG headcast 1 1000\r\n", &payload[..], b"\r\n"].concat();
    let all = [NATS_READY, &message.repeat(1_000)].concat();
    let (address, peer) = peer(move |mut stream| {
        stream.write_all(&all)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).map(|_| said)
    });
    let mut subscriber = nats::Subscriber::connect(address).expect("ready");
    let (mut count, mut full) = (0, 0);
    let error = loop {
        match subscriber.read(&mut |came| count += u32::from(came == payload)) {
            Ok(more) => full += u32::from(more),
            Err(error) => break error,
        }
    };
    assert_eq!((count, error.kind()), (1_000, io::ErrorKind::UnexpectedEof));
    // How often depends on how fast it came; it can be three times at most.
    assert!(full <= 3, "{full} reads of 256 KiB in 1 MB");
    drop(subscriber);
    peer.join().expect("no panic").expect("readable");
}

/// Accepts one connection and plays a script on it, each step of which ends within ten seconds.
fn peer(
    script: impl FnOnce(TcpStream) -> io::Result<Vec<u8>> + Send + 'static,
) -> (SocketAddr, JoinHandle<io::Result<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        let bound = Some(Duration::from_secs(10));
        stream.set_read_timeout(bound).and_then(|()| stream.set_write_timeout(bound))?;
        script(stream)
    });
    (address, thread)
}
