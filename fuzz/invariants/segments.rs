//! A train of datagrams, and what size the kernel claims each of them has: whatever that is, every byte is read once,
//! and only what is a datagram by its own header is taken for one.
//!
//! Byte 0 chooses the receiver, the next two the claim. Then the train: for each datagram what it is, and how long; or
//! the bytes themselves. The books are kept by the [`Ledger`].

use headcast_proto::receiver::Limits;
use headcast_proto::{Datagram, HEADER_LEN, Now, Order, Receiver, Sequencer, Session, Verdict, body};
use headcast_udp::segments;

use crate::ledger::{Expected, Ledger};
use crate::script::Script;

/// Some day in 2026.
const START_MS: u64 = 1_790_000_000_000;
const MS: u64 = 1_000_000;
const WINDOW: usize = 256;
/// The most datagrams and bytes that the kernel hands over in one piece.
const DATAGRAMS_MAX: usize = 128;
const TRAIN_MAX: usize = 65_535;
/// Bytes of payload, around what lets a claim fit.
const LENGTHS: [usize; 8] = [0, 1, 2, 8, 24, 60, 128, 1_352];

pub(crate) fn check(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mode = script.u8();
    let claimed = script.u16();
    let (train, whole) =
        if mode & 2 == 0 { train(&mut script) } else { (script.take(TRAIN_MAX).to_vec(), vec![]) };
    // The true size, or whatever was claimed.
    let size = match (mode & 4 == 0, whole.first()) {
        (true, Some(first)) => first.len(),
        _ => usize::from(claimed).max(1),
    };
    let order_ns = (mode & 1 != 0).then_some(10 * MS);
    let parts: Vec<&[u8]> = segments(&train, size).collect();
    assert!(parts.concat() == train, "every byte once, and in its place");
    let (last, others) = parts.split_last().expect("even nothing is one datagram");
    assert!(others.iter().all(|part| part.len() == size) && last.len() <= size);

    let told = receive(&parts, order_ns);
    // Whoever says the truth loses nothing: it is as if each had come alone.
    let is_true = !whole.is_empty() && whole.iter().map(Vec::as_slice).eq(parts.iter().copied());
    if is_true {
        let alone: Vec<&[u8]> = whole.iter().map(Vec::as_slice).collect();
        assert_eq!(told.len(), alone.len(), "each of them is valid");
        assert_eq!(told, receive(&alone, order_ns));
        assert!(told.iter().all(|verdict| matches!(verdict, Verdict::Deliver { .. } | Verdict::Kept)));
    }
}

/// Datagrams of a publisher, one behind the other; and each for itself.
fn train(script: &mut Script<'_>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut sequencer = Sequencer::new(7, Session::new(START_MS, 1), 0);
    let mut whole: Vec<Vec<u8>> = Vec::new();
    let mut total = 0;
    while !script.is_over() && whole.len() < DATAGRAMS_MAX {
        let what = script.u8();
        let len = LENGTHS[usize::from(what & 7)];
        let mut datagram = vec![what; HEADER_LEN + len];
        // As many messages as there is room for, with the rest in the last.
        let count = usize::from(what >> 4).min(len / 2);
        if what & 8 != 0 && count > 0 {
            let payload = &mut datagram[HEADER_LEN..];
            payload.fill(0);
            let rest = u16::try_from(len - 2 * count).expect("a payload is under 64 KiB");
            payload[2 * (count - 1)..2 * count].copy_from_slice(&rest.to_le_bytes());
            sequencer.seal_coalesced(&mut datagram, now(), u16::try_from(count).expect("few"));
        } else {
            sequencer.seal(&mut datagram, now());
        }
        total += datagram.len();
        if total > TRAIN_MAX {
            break;
        }
        whole.push(datagram);
    }
    (whole.concat(), whole)
}

/// What becomes of those that are datagrams.
fn receive(parts: &[&[u8]], order_ns: Option<u64>) -> Vec<Verdict> {
    let mut receiver = Receiver::new(&Limits { publishers: 4, window: WINDOW, ..Limits::default() }, &[]);
    if let Some(max_hold_ns) = order_ns {
        receiver = receiver.order(Order::Ordered { max_hold_ns });
    }
    let expected = Expected { order_ns, missing_max: 4 * WINDOW as u64, ..Expected::default() };
    let mut ledger = Ledger::new(expected);
    let mut verdicts = Vec::new();
    for part in parts {
        let Ok(datagram) = Datagram::parse(part) else { continue };
        let inside = HEADER_LEN + datagram.extension().len() + datagram.payload().len();
        assert!(inside <= part.len(), "nothing beyond its end");
        if datagram.is_coalesced() {
            let messages: usize = body::coalesced(datagram.payload()).map(|message| 2 + message.len()).sum();
            assert_eq!(messages, datagram.payload().len(), "all of it is messages");
        }
        verdicts.push(ledger.send(&mut receiver, now(), &datagram));
    }
    ledger.settle(
        &mut receiver,
        Now { mono_ns: now().mono_ns + 20_000 * MS, unix_ns: now().unix_ns + 20_000 * MS },
    );
    ledger.finish(&mut receiver);
    verdicts
}

fn now() -> Now {
    Now { mono_ns: 1, unix_ns: (START_MS + 1) * MS }
}
