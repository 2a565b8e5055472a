//! Subscribers answer, over real sockets; the recorder is a few lines that lose and forget on purpose.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use headcast::peers::Source;
use headcast::{Publisher, Refusal, RespondError, Responder, StreamId, Subscriber};
use headcast_proto::response::{self, ACK_LEN, Subject};
use headcast_proto::stored::Place;
use headcast_proto::{Datagram, Now, Sequencer, Session, Stored};

const SOON: Duration = Duration::from_secs(20);

/// A recorder in memory, for one responder.
struct Recorder {
    socket: UdpSocket,
    stored: Stored,
    /// By the sequence of the response: the message, and the result.
    rows: BTreeMap<u64, (Subject, Vec<u8>)>,
    sequencer: Sequencer,
    responder: Option<(SocketAddr, u32, u64)>,
    received: u64,
}

impl Recorder {
    fn new(address: &str) -> Self {
        let socket = UdpSocket::bind(address).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(5))).expect("set");
        let sequencer = Sequencer::new(99, Session::new(1, 1), 0);
        Self {
            socket,
            stored: Stored::new(1),
            rows: BTreeMap::new(),
            sequencer,
            responder: None,
            received: 0,
        }
    }

    fn address(&self) -> String {
        self.socket.local_addr().expect("an address").to_string()
    }

    /// Takes what comes within 5 ms, but for what `lose` says by how many came before.
    fn take(&mut self, lose: impl Fn(u64) -> bool) {
        let mut bytes = [0; 2048];
        while let Ok((len, from)) = self.socket.recv_from(&mut bytes) {
            self.received += 1;
            if lose(self.received) {
                continue;
            }
            let datagram = Datagram::parse(&bytes[..len]).expect("valid");
            self.responder = Some((from, datagram.publisher(), datagram.session().to_bits()));
            self.stored.skip_to(response::held_from(&datagram));
            let (subject, result) = response::read(&datagram).expect("a response");
            if self.stored.observe(datagram.seq()) == Place::New {
                let before = self.rows.insert(datagram.seq(), (subject, result.to_vec()));
                assert!(before.is_none(), "stored once");
            }
        }
    }

    /// Acknowledges everything.
    fn acknowledge(&mut self) {
        let Some((to, publisher, session)) = self.responder else { return };
        let mut bytes = [0; ACK_LEN];
        let now = Now { mono_ns: 0, unix_ns: 2_000_000 };
        response::seal_ack(&mut self.sequencer, &mut bytes, now, (publisher, session), self.stored.ack());
        self.socket.send_to(&bytes, to).expect("sent");
    }
}

fn origin(seq: u64) -> headcast::Origin {
    // Only a subscriber makes them, so let one receive.
    let builder = Subscriber::builder().listen("127.0.0.1:0".parse().expect("an address")).repair(false);
    let mut subscriber = builder.build().expect("a subscriber");
    let mut bytes = vec![0; 41];
    let mut sequencer = Sequencer::new(5, Session::new(1, 1), 0);
    let now = Now { mono_ns: 0, unix_ns: 2_000_000 };
    for _ in 0..seq {
        sequencer.seal(&mut bytes, now);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(&bytes, subscriber.local_addr().expect("an address")).expect("sent");
    let message = subscriber.recv_timeout(SOON).expect("received").expect("a message");
    message.origin.expect("framed")
}

#[test]
fn every_response_is_kept_until_it_is_acknowledged_although_every_third_is_lost_both_ways() {
    let mut recorder = Recorder::new("127.0.0.1:0");
    let responder = Responder::builder().to(&recorder.address()).expect("a target").responder_id(7);
    let responder = responder.build().expect("a responder");
    let mut subscriber =
        Subscriber::builder().listen("127.0.0.1:0".parse().expect("an address")).responder(responder.clone());
    subscriber = subscriber.repair(false);
    let mut subscriber = subscriber.build().expect("a subscriber");
    let to = subscriber.local_addr().expect("an address");
    let mut publisher = Publisher::builder().peers([to]).publisher_id(1).build().expect("a publisher");
    publisher.wait_for_peers(SOON).expect("a peer");
    for n in 0..500u32 {
        publisher.publish(&n.to_le_bytes()).expect("published");
    }
    assert_eq!(publisher.close(SOON).expect("sent"), 0);
    for n in 0..500u32 {
        let message = subscriber.recv_timeout(SOON).expect("received").expect("a message");
        assert_eq!(message.payload, n.to_le_bytes());
        message.respond(&(2 * n).to_le_bytes()).expect("accepted");
    }
    let mut round = 0;
    while responder.unacknowledged() > 0 {
        round += 1;
        assert!(round < 4000, "it ends: {:?}", responder.counters());
        recorder.take(|received| received % 3 == 0);
        if round % 3 != 0 {
            recorder.acknowledge();
        }
        let below = responder.acknowledged_below();
        assert!((1..below).all(|seq| recorder.rows.contains_key(&seq)));
    }
    assert_eq!(responder.close(SOON), 0);
    let told: BTreeMap<u64, ((u64, u16), Vec<u8>)> = recorder
        .rows
        .iter()
        .map(|(own, (subject, result))| (*own, ((subject.seq, subject.part), result.clone())))
        .collect();
    let expected = (1..).zip(0..500u32).map(|(seq, n)| (seq, ((seq, 0), (2 * n).to_le_bytes().to_vec())));
    assert_eq!(told, expected.collect());
    let counters = responder.counters();
    assert_eq!((counters.accepted.get(), counters.acknowledged.get()), (500, 500));
    assert!(counters.sent_again.get() > 0);
    assert_eq!((responder.acknowledged_below(), responder.id()), (501, 7));
}

#[test]
fn what_is_held_is_bounded_by_number_and_by_bytes_and_refused_beyond() {
    let recorder = Recorder::new("127.0.0.1:0");
    let build = |queue, bytes| {
        let builder = Responder::builder().to(&recorder.address()).expect("a target").result_max(1000);
        builder.queue(queue).queue_bytes(bytes).build().expect("a responder")
    };
    let to = origin(3);
    let few = build(4, 1 << 20);
    let accepted = (0..10).filter(|_| few.respond(&to, b"x").is_ok()).count();
    assert_eq!((accepted, few.unacknowledged()), (4, 4));
    assert_eq!(few.respond(&to, b"x"), Err(RespondError::Full));
    assert_eq!(few.counters().refused_full.get(), 7);
    let small = build(100, 2 * 1080);
    assert_eq!(small.respond(&to, &[0; 1000]), Ok(()));
    assert_eq!(small.respond(&to, &[0; 1000]), Ok(()));
    assert_eq!(small.respond(&to, b""), Err(RespondError::Full));
    assert_eq!(small.respond(&to, &[0; 1001]), Err(RespondError::TooLong { len: 1001, max: 1000 }));
    let id = |session| StreamId { publisher: 1, session: Session::from_bits(session), stream: 0 };
    for (id, seq) in [(id(1 << 63), 1), (id(1), 1 << 63), (id(1), 0)] {
        assert_eq!(few.respond_to(id, seq, 0, b"x"), Err(RespondError::Unstorable));
    }
    assert_eq!((few.counters().refused_unstorable.get(), few.unacknowledged()), (3, 4));
    assert_eq!(small.close(Duration::from_millis(20)), 2);
    assert_eq!(small.respond(&to, b""), Err(RespondError::Closed));
}

#[test]
fn acknowledgements_from_strangers_for_others_and_from_nowhere_free_nothing() {
    let mut recorder = Recorder::new("127.0.0.1:0");
    let responder =
        Responder::builder().to(&recorder.address()).expect("a target").build().expect("a responder");
    responder.respond(&origin(1), b"held").expect("accepted");
    while recorder.responder.is_none() {
        recorder.take(|_| false);
    }
    let (to, publisher, session) = recorder.responder.expect("heard");
    let mut ack = |own, progress| {
        let mut bytes = [0; ACK_LEN];
        let now = Now { mono_ns: 0, unix_ns: 2_000_000 };
        response::seal_ack(&mut recorder.sequencer, &mut bytes, now, own, progress);
        bytes
    };
    let (right, own) = ((2, 0), (publisher, session));
    let wrong = [
        ack((publisher, session + 1), right),
        ack((publisher + 1, session), right),
        ack(own, (u64::MAX, 0)),
        ack(own, (u64::MAX, u64::MAX)),
    ];
    let good = ack(own, right);
    for bytes in &wrong {
        recorder.socket.send_to(bytes, to).expect("sent");
    }
    recorder.socket.send_to(&good[..ACK_LEN - 1], to).expect("sent");
    recorder.socket.send_to(&[good.as_slice(), b"x"].concat(), to).expect("sent");
    UdpSocket::bind("127.0.0.1:0").and_then(|stranger| stranger.send_to(&good, to)).expect("sent");
    while responder.counters().strays.get() < 7 {
        recorder.take(|_| false);
    }
    assert_eq!(responder.unacknowledged(), 1);
    recorder.socket.send_to(&good, to).expect("sent");
    assert_eq!(responder.close(SOON), 0);
}

#[test]
fn when_the_recorder_that_writes_is_gone_the_one_that_stands_by_gets_the_responses() {
    let first = Recorder::new("127.0.0.1:0");
    let mut second = Recorder::new("127.0.0.1:0");
    let both = [&first, &second].map(|recorder| recorder.socket.local_addr().expect("an address"));
    let source = Source::Static(both.into_iter().collect());
    let responder = Responder::builder().source(source).build().expect("a responder");
    for seq in 1..=20 {
        responder.respond(&origin(seq), b"x").expect("accepted");
    }
    drop(first);
    for _ in 0..2000 {
        second.take(|_| false);
        second.acknowledge();
        if responder.unacknowledged() == 0 {
            break;
        }
    }
    assert_eq!(responder.close(SOON), 0);
    assert_eq!(second.rows.len(), 20);
}

#[test]
fn a_response_names_the_message_also_among_those_that_shared_a_datagram() {
    let mut recorder = Recorder::new("127.0.0.1:0");
    let responder =
        Responder::builder().to(&recorder.address()).expect("a target").build().expect("a responder");
    let mut origin = origin(3);
    let id = StreamId { publisher: origin.publisher, session: origin.session, stream: origin.stream };
    let parts = [0, 1, 2, u16::MAX];
    for part in parts {
        origin.part = part;
        responder.respond(&origin, &part.to_le_bytes()).expect("accepted");
        responder.respond_to(id, 4, part, &part.to_be_bytes()).expect("accepted");
    }
    for _ in 0..2000 {
        recorder.take(|_| false);
        recorder.acknowledge();
        if responder.unacknowledged() == 0 {
            break;
        }
    }
    assert_eq!(responder.close(SOON), 0);
    let answers = parts.into_iter().flat_map(|part| {
        let answer = |seq, result: [u8; 2]| (Subject { id, seq, part }, result.to_vec());
        [answer(3, part.to_le_bytes()), answer(4, part.to_be_bytes())]
    });
    assert_eq!(recorder.rows, (1..).zip(answers).collect());
}

#[test]
fn who_cannot_answer_is_told_why() {
    let mut subscriber = Subscriber::builder()
        .listen("127.0.0.1:0".parse().expect("an address"))
        .raw(true)
        .build()
        .expect("one");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(b"raw", subscriber.local_addr().expect("an address")).expect("sent");
    let message = subscriber.recv_timeout(SOON).expect("received").expect("a message");
    assert_eq!(message.respond(b"x"), Err(RespondError::NoHeader));
    assert_eq!(subscriber.refusals().get(Refusal::TooShort), 0);
}
