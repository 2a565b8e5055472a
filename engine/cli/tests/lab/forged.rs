//! Whoever may send here may send anything: what it can cost, and what it cannot.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use crate::chance::Chance;
use crate::programs::{Listener, PUBLISHER, Sender, Told, count, peak_kib};
use crate::support::{Lab, now};

const DATA: u8 = 0x10;
const HEARTBEAT: u8 = 0x11;
const NAK: u8 = 0x13;
const FRAGMENT: u8 = 0x01;
const RETRANSMISSION: u8 = 0x08;
const HEADER_LEN: usize = 40;

/// Datagrams per second of the flood, and how many in a row: faster than any application, slow enough that two
/// cores have time for the stream as well.
const FLOOD_RATE: u64 = 80_000;
const FLOOD_RUN: u64 = 400;

/// The fields of a header as docs/wire-format.md has them, written without the code under test.
#[derive(Clone, Copy)]
struct Head {
    version_kind: u8,
    flags: u8,
    key_id: u8,
    path: u8,
    stream: u16,
    /// What it says of its payload's length, if not the truth.
    payload_len: Option<u16>,
    publisher: u32,
    index: u16,
    count: u16,
    session: u64,
    seq: u64,
    timestamp: u64,
}

impl Head {
    /// Of a message that could be genuine.
    fn new(publisher: u32, session: u64, seq: u64, timestamp: u64) -> Self {
        Self {
            version_kind: DATA,
            flags: 0,
            key_id: 0,
            path: 0,
            stream: 0,
            payload_len: None,
            publisher,
            index: 0,
            count: 1,
            session,
            seq,
            timestamp,
        }
    }

    fn datagram(&self, payload: &[u8]) -> Vec<u8> {
        let len = self.payload_len.unwrap_or_else(|| u16::try_from(payload.len()).expect("a short payload"));
        let mut bytes = vec![self.version_kind, self.flags, self.key_id, self.path];
        bytes.extend([self.stream, len].map(u16::to_le_bytes).as_flattened());
        bytes.extend(self.publisher.to_le_bytes());
        bytes.extend([self.index, self.count].map(u16::to_le_bytes).as_flattened());
        bytes.extend([self.session, self.seq, self.timestamp].map(u64::to_le_bytes).as_flattened());
        bytes.extend(payload);
        bytes
    }
}

/// What a request for repairs asks for: each base, and the 64 after it.
fn nak(publisher: u32, session: u64, bases: &[u64]) -> Vec<u8> {
    let mut payload = publisher.to_le_bytes().to_vec();
    let entries = u16::try_from(bases.len()).expect("at most 16");
    payload.extend([0, entries].map(u16::to_le_bytes).as_flattened());
    payload.extend(session.to_le_bytes());
    for base in bases {
        payload.extend([*base, u64::MAX].map(u64::to_le_bytes).as_flattened());
    }
    payload
}

#[expect(clippy::disallowed_methods, reason = "a forger looks at the clock as everybody does")]
fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is right");
    u64::try_from(since.as_nanos()).expect("before 2554")
}

fn session_at(unix_ns: u64, random: u64) -> u64 {
    (unix_ns / 1_000_000) << 20 | random & 0xf_ffff
}

/// Somebody who knows the wire format, and the publisher's session.
struct Forger {
    chance: Chance,
    session: u64,
    made: u64,
}

impl Forger {
    /// What a subscriber must not fall for: each kind in turn.
    fn next(&mut self) -> Vec<u8> {
        self.made += 1;
        let (chance, now_ns, hour_ns) = (&mut self.chance, unix_ns(), 3_600_000_000_000);
        let any = chance.next();
        let stranger =
            Head::new(u32::try_from(any >> 32).expect("32 bits"), session_at(now_ns, any), 1, now_ns);
        // Of the true publisher and its session; at a sequence that came long ago, so not even that is new.
        let own = Head::new(PUBLISHER, self.session, 1 + any % 50, now_ns);
        let forged = b"forged";
        match self.made % 24 {
            0 => {
                let len = usize::try_from(chance.below(1_400)).expect("short");
                Chance::new(any).bytes().take(len).collect()
            }
            1 => own.datagram(&[])[..usize::try_from(any % HEADER_LEN as u64).expect("short")].to_vec(),
            2 => Head { version_kind: 0x20, ..own }.datagram(forged),
            3 => Head { version_kind: 0x1f, ..own }.datagram(forged),
            4 => Head { flags: 0x80, ..own }.datagram(forged),
            5 => Head { payload_len: Some(7), ..own }.datagram(forged),
            // An extension of 9 bytes; a seal; several messages.
            6 => Head { flags: 0x08, ..own }.datagram(&[9, 0, 0, 0, 0, 0, 0, 0]),
            7 => Head { flags: 0x04, key_id: 1, payload_len: Some(4), ..own }.datagram(&[0; 20]),
            8 => Head { flags: 0x02, index: 9, ..own }.datagram(forged),
            9 => Head { seq: 0, ..own }.datagram(forged),
            10 => Head { timestamp: 1, ..own }.datagram(forged),
            11 => Head { flags: FRAGMENT, index: 3, count: 2, ..own }.datagram(forged),
            12 => Head { version_kind: HEARTBEAT, ..own }.datagram(forged),
            13 => Head { version_kind: NAK, ..own }.datagram(&nak(PUBLISHER, self.session, &[any | 1])),
            14 => Head { stream: 1, ..own }.datagram(forged),
            15 => stranger.datagram(forged),
            16 => Head { session: self.session - 1 - (any >> 44), ..own }.datagram(forged),
            17 => {
                let then_ns = now_ns + hour_ns;
                Head { session: session_at(then_ns, any), timestamp: then_ns + 1_000_000, ..own }
                    .datagram(forged)
            }
            18 => Head { seq: u64::MAX - any % 3, ..own }.datagram(forged),
            19 => Head { seq: 1 << 20 | any >> 2, ..own }.datagram(forged),
            20 => own.datagram(forged),
            21 => Head { version_kind: HEARTBEAT, seq: u64::MAX - any % 3, ..own }.datagram(&[]),
            // Some strangers who never finish what they begin, and one whose message is too long.
            22 => {
                let (publisher, part) = (1_000 + self.made / 24 % 64, self.made / 24 / 64 % 700);
                let publisher = u32::try_from(publisher).expect("a small number");
                let index = u16::try_from(part).expect("a small number");
                Head { flags: FRAGMENT, index, count: 701, publisher, seq: 1 + part, ..own }
                    .datagram(&[b'f'; 1_300])
            }
            _ => Head { flags: FRAGMENT, count: 1_024, publisher: 999, seq: self.made, ..own }
                .datagram(&[b'f'; 1_300]),
        }
    }

    /// What a publisher must not fall for: the requests of somebody who is no peer, and what is no request at all.
    fn next_request(&mut self) -> Vec<u8> {
        self.made += 1;
        let any = self.chance.next();
        let now_ns = unix_ns();
        let own = Head { version_kind: NAK, ..Head::new(1, session_at(now_ns, any), self.made, now_ns) };
        match self.made % 4 {
            0 => own.datagram(&nak(PUBLISHER, self.session, &[1 + any % 1_000])),
            1 => own.datagram(&nak(PUBLISHER, any, &[1])),
            2 => Head { version_kind: DATA, ..own }.datagram(b"forged"),
            _ => Chance::new(any).bytes().take(200).collect(),
        }
    }
}

/// Sends so many datagrams to an address, on an absolute schedule.
fn flood(to: SocketAddr, datagrams: u64, mut next: impl FnMut() -> Vec<u8>) {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("a socket");
    socket.connect(to).expect("an address");
    let started = now();
    for sent in 0..datagrams {
        if sent.is_multiple_of(FLOOD_RUN) {
            let due = Duration::from_nanos(sent * 1_000_000_000 / FLOOD_RATE);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
        // Refused by the other end, it is sent again by nobody.
        let _ = socket.send(&next());
    }
}

#[test]
fn a_million_forged_datagrams_cost_no_message_and_bounded_memory() {
    const TO_SUBSCRIBER: u64 = 900_000;
    const TO_PUBLISHER: u64 = 100_000;
    let lab = Lab::up("--pods 1");
    let mut listener = Listener::start(&lab, 1, "");
    let mut sender = Sender::start(&lab, u64::MAX, "--rate 2000");
    // Far enough that the first sequences are out of the window.
    listener.wait_for_seq(10_000);
    let (publisher, session) = listener.source();
    let (subscriber, chance) = (SocketAddr::new(lab.address(1), 12000), Chance::new(1));
    let peaks = [listener.peak_kib(), peak_kib(&mut sender.running)];

    // From a namespace that is no pod's.
    let flooding = lab.thread("dns", move || {
        let mut forger = Forger { chance, session, made: 0 };
        flood(subscriber, TO_SUBSCRIBER, || forger.next());
        flood(publisher, TO_PUBLISHER, || forger.next_request());
    });
    flooding.join().expect("no panic");

    let grown = [listener.peak_kib(), peak_kib(&mut sender.running)];
    let grown = [grown[0] - peaks[0], grown[1] - peaks[1]];
    sender.running.signal(Signal::SIGTERM);
    let totals = sender.finish();
    let heard = listener.stop();

    let messages = count(&totals, "messages");
    heard.assert_whole("the subscriber", 1..=messages);
    // Its memory for fragments, 16 MiB, and its table of publishers.
    assert!(grown[0] < 20 << 10, "the subscriber has grown by {} KiB", grown[0]);
    assert!(grown[1] < 2 << 10, "the publisher has grown by {} KiB", grown[1]);

    // Strangers are heard, as long as there is room for them: nothing proves who anybody is.
    let strangers = heard.0.iter().filter(
        |told| matches!(told, Told::Message { publisher, payload, .. } if *publisher != PUBLISHER && payload.as_deref() == Some("forged")),
    );
    let (strangers, heard_of_strangers) = (strangers.count() as u64, heard.total("delivered") - messages);
    assert!(strangers == heard_of_strangers && (100..TO_SUBSCRIBER / 24).contains(&strangers), "{strangers}");

    let refused: BTreeMap<&String, u64> = heard.totals()["refused"]
        .as_object()
        .expect("reasons")
        .iter()
        .map(|(name, count)| (name, count.as_u64().expect("a count")))
        .collect();
    // Each of these was sent tens of thousands of times; memory that is full is soon free again.
    for name in [
        "too_short",
        "version",
        "kind",
        "reserved_bits",
        "payload_length",
        "extension",
        "sealed",
        "sequence",
        "session_after_timestamp",
        "fragment",
        "coalesced",
        "body",
        "unexpected",
        "stream",
        "table_full",
        "session_old",
        "session_implausible",
        "jump",
        "behind",
        "message_too_long",
        "memory",
    ] {
        let times = refused.iter().find(|(reason, _)| **reason == name).map_or(0, |(_, times)| *times);
        assert!(times > 100, "{name} was the reason {times} times: {refused:?}");
    }
    // Whatever was received is booked once.
    let total = |name| heard.total(name);
    let booked = ["delivered", "kept", "duplicates", "notes", "truncated", "impaired"].map(total);
    assert_eq!(
        total("datagrams") + total("released") + total("unpacked"),
        booked.iter().sum::<u64>() + refused.values().sum::<u64>(),
        "{:?}",
        heard.totals()
    );
    let arrived = total("datagrams") + total("socket_dropped");
    assert!(arrived >= TO_SUBSCRIBER + 2 * messages, "{arrived} datagrams arrived");

    // All that came to the publisher is booked, and nothing of it was answered.
    let of = |name| count(&totals, name);
    let came = ["naks_foreign", "naks_stranger", "strays", "malformed", "naks_dropped"].map(of);
    assert_eq!(came.iter().sum::<u64>(), TO_PUBLISHER, "{totals:?}");
    // The subscriber asked strangers as well, of whose streams it thought to have lost something.
    assert!(of("naks") <= total("requests"), "{totals:?}");
    assert!(came[..4].iter().all(|count| *count > 1_000), "{totals:?}");
    assert!(of("repairs_sent") <= total("requested"), "{totals:?}");
}

#[test]
fn a_receiver_that_always_asks_for_repairs_gets_its_share_and_the_others_lose_nothing() {
    const LINES: u64 = 20_000;
    const HISTORY: u64 = 64;
    let lab = Lab::up("--pods 4");
    lab.run("drop 5 --burst 8");
    lab.run("drop 5 --at publisher");
    let listeners = Listener::start_all(&lab, 1..=3);
    let greedy = SocketAddr::new(lab.address(4), 12000);
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let asking = lab.thread("pods", move || ask_for_everything(greedy, &stopping));
    let sender = Sender::start(&lab, LINES, &format!("--rate 2000 --spacing 500us --history-max {HISTORY}"));
    let totals = sender.finish();
    stop.store(true, Relaxed);
    let (requests, repairs, repair_bytes) = asking.join().expect("no panic");
    let of = |name| count(&totals, name);

    let mut others = 0;
    for (pod, listener) in (1..).zip(listeners) {
        let heard = listener.stop();
        heard.assert_whole(&format!("subscriber {pod}"), 1..=LINES);
        others += heard.total("requested");
    }
    assert!(requests > 10_000, "{requests} requests are not thousands a second");
    let stream_bytes = of("message_bytes") + LINES * HEADER_LEN as u64;
    let share = stream_bytes / 10 + (64 + HISTORY) * 1_392;
    assert!(
        repairs > 0 && repair_bytes <= share,
        "{repair_bytes} bytes of repairs, and its share is {share}"
    );
    // The network lost some of them as well. No datagram is shorter than this.
    let repairs_max = share / (HEADER_LEN as u64 + 1);
    assert!(of("repairs_sent") <= repairs_max + others, "{repairs_max} + {others}: {totals:?}");
    assert!(of("repairs_over_budget") > 100_000, "{totals:?}");
    // At the end a publisher answers until nobody needs anything; somebody who always asks is not waited for.
    let seconds = totals["seconds"].as_f64().expect("a number");
    assert!(seconds < LINES as f64 / 2_000.0 + 10.0, "it took {seconds} s, and would have waited for 20 s");
}

/// Is a peer that asks for the last sequences again and again. Returns how many requests it sent, and the number
/// and bytes of the repairs that it got.
fn ask_for_everything(address: SocketAddr, stopping: &AtomicBool) -> (u64, u64, u64) {
    let socket = UdpSocket::bind(address).expect("a socket");
    socket.set_nonblocking(true).expect("a socket that does not block");
    let own = session_at(unix_ns(), 4);
    let (mut requests, mut repairs, mut repair_bytes) = (0, 0, 0);
    let mut newest = None;
    while !stopping.load(Relaxed) {
        let mut bytes = [0; 2_048];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            let field = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
            if bytes[3] & RETRANSMISSION != 0 {
                (repairs, repair_bytes) = (repairs + 1, repair_bytes + len as u64);
            } else {
                newest = Some((from, field(16), field(24)));
            }
        }
        if let Some((from, session, seq)) = newest {
            requests += 1;
            let head = Head { version_kind: NAK, ..Head::new(99, own, requests, unix_ns()) };
            let bases = [64, 640, 2_000].map(|back| seq.saturating_sub(back).max(1));
            socket.send_to(&head.datagram(&nak(PUBLISHER, session, &bases)), from).expect("sent");
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    (requests, repairs, repair_bytes)
}
