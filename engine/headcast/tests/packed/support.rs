//! A publisher made by hand, and what a subscriber makes of its datagrams.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use headcast::clock::now;
use headcast::{Origin, Session, Subscriber, SubscriberBuilder};
use headcast_proto::{HEADER_LEN, Sequencer};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

/// A message as it was handed on.
pub(crate) type Got = (Vec<u8>, Option<Origin>);

/// Everything that a publisher sends, one datagram or train at a time.
pub(crate) struct Sender {
    socket: UdpSocket,
    sequencer: Sequencer,
}

impl Sender {
    pub(crate) fn to(subscriber: &Subscriber) -> Self {
        let to = subscriber.local_addr().expect("an address");
        let socket = UdpSocket::bind((to.ip(), 0)).expect("a port");
        socket.connect(to).expect("connected");
        let session = Session::new(now().unix_ns / 1_000_000, 1);
        Self { socket, sequencer: Sequencer::new(7, session, 0).without_repair() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    /// The next datagram, with one message.
    pub(crate) fn whole(&mut self, message: &[u8]) -> Vec<u8> {
        let mut datagram = [&[0; HEADER_LEN], message].concat();
        self.sequencer.seal(&mut datagram, now());
        datagram
    }

    /// The next datagram, with these messages.
    pub(crate) fn shared(&mut self, messages: &[Vec<u8>]) -> Vec<u8> {
        let mut datagram = vec![0; HEADER_LEN];
        for message in messages {
            datagram.extend(u16::try_from(message.len()).expect("short").to_le_bytes());
            datagram.extend(message);
        }
        let count = u16::try_from(messages.len()).expect("few");
        self.sequencer.seal_coalesced(&mut datagram, now(), count);
        datagram
    }

    /// The farewell.
    pub(crate) fn end(&self) -> Vec<u8> {
        let mut datagram = [0; HEADER_LEN];
        self.sequencer.end(&mut datagram, now());
        datagram.into()
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        assert_eq!(self.socket.send(datagram).expect("sent"), datagram.len());
    }

    /// Sends datagrams in one call, each as long as the first; the last one may be shorter.
    pub(crate) fn send_train(&self, datagrams: &[Vec<u8>]) -> nix::Result<()> {
        let size = u16::try_from(datagrams[0].len()).expect("a datagram");
        let train = datagrams.concat();
        let sent = sendmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&train)],
            &[ControlMessage::UdpGsoSegments(&size)],
            MsgFlags::empty(),
            None,
        )?;
        assert_eq!(sent, train.len());
        Ok(())
    }
}

/// A subscriber on loopback, and somebody who sends to it.
pub(crate) fn pair(set: impl FnOnce(SubscriberBuilder) -> SubscriberBuilder) -> (Subscriber, Sender) {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let subscriber = set(Subscriber::builder().listen(listen)).build().expect("a subscriber");
    let sender = Sender::to(&subscriber);
    (subscriber, sender)
}

/// Everything that has come: what is sent over the loopback interface is there when the call returns.
pub(crate) fn take(subscriber: &mut Subscriber, from: &Sender) -> Vec<Got> {
    let mut got = Vec::new();
    while let Some(message) = subscriber.try_recv().expect("a socket that works") {
        assert_eq!(message.source(), Some(from.address()));
        got.push((message.payload.to_vec(), message.origin));
    }
    assert_booked(subscriber);
    got
}

/// Sequence, part and payload of each.
pub(crate) fn places(got: &[Got]) -> Vec<(u64, u16, Vec<u8>)> {
    let place = |(payload, origin): &Got| {
        let origin = origin.expect("a header");
        (origin.seq, origin.part, payload.clone())
    };
    got.iter().map(place).collect()
}

/// What is to be handed on of datagrams with these messages, from sequence `first` on.
pub(crate) fn places_of(first: u64, datagrams: &[Vec<Vec<u8>>]) -> Vec<(u64, u16, Vec<u8>)> {
    let parts = |(seq, messages): (u64, &Vec<Vec<u8>>)| {
        (0..).zip(messages.clone()).map(move |(part, message)| (seq, part, message)).collect::<Vec<_>>()
    };
    (first..).zip(datagrams).flat_map(parts).collect()
}

/// Messages of these lengths, no two of which are the same but for the short ones.
pub(crate) fn messages(lengths: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    let message = |(at, len): (usize, usize)| (at..at + len).map(|i| i.to_le_bytes()[0]).collect();
    lengths.into_iter().enumerate().map(message).collect()
}

/// What must be true whenever everything has been taken.
pub(crate) fn assert_booked(subscriber: &Subscriber) {
    let c = subscriber.counters();
    let came = c.datagrams.get() + c.released.get() + c.unpacked.get();
    let became = c.delivered.get() + c.kept.get() + c.duplicates.get() + c.notes.get() + c.truncated.get();
    assert_eq!(came, became + c.impaired.get() + subscriber.refusals().total(), "{c:?}");
}
