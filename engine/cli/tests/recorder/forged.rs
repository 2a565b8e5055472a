//! Whatever else arrives than responses is refused and counted, and is in nobody's way.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use headcast_proto::header::DATAGRAM_MAX;

use crate::chance::Chance;
use crate::database::Site;
use crate::forgeries::{self, Forgery};
use crate::load::{Load, Rate};
use crate::process::{Recorder, count};
use crate::raw;
use crate::support::on_each_database;

const SEED: u64 = 0x5eed_0007;
/// Of each kind.
const FEW: u64 = 20;
const MANY: usize = 1_000_000;
const MEMORY_MAX: u64 = 200 << 20;
const RATE: Rate = Rate { responders: 4, responses: 2, queue: 8192 };

on_each_database! { every_reason_to_refuse_is_counted_and_nothing_is_stored a_million_forgeries_are_in_nobodys_way }

fn every_reason_to_refuse_is_counted_and_nothing_is_stored<S: Site>() {
    let site = S::new();
    let mut recorder =
        Recorder::start_at(&site.url(), "[::1]:0".parse().expect("an address"), &["--keep-all"]);
    recorder.until_ready();
    let socket = UdpSocket::bind("[::1]:0").expect("IPv6 on loopback");
    let right = raw::response(8, b"right");
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for _ in 0..FEW {
        for Forgery { reason, bytes } in forgeries::all() {
            socket.send_to(&bytes, recorder.address()).expect("sent");
            *expected.entry(reason).or_default() += 1;
        }
        // Longer than any datagram over IPv4.
        let longest = raw::response(7, &vec![b'x'; DATAGRAM_MAX]);
        socket.send_to(&longest[..DATAGRAM_MAX + 10], recorder.address()).expect("sent");
        // So many fit into its socket's buffer; when this is stored, all that came before has been looked at.
        assert_eq!(raw::acknowledged(recorder.address(), &right), (2, 0));
    }
    let totals = recorder.terminate().totals();
    let refused: BTreeMap<String, u64> = serde_json::from_value(totals["refused"].clone()).expect("counts");
    let refused: BTreeMap<&str, u64> = refused.iter().map(|(reason, count)| (&reason[..], *count)).collect();
    assert_eq!(refused, expected, "{totals}");
    assert_eq!(count(&totals, "truncated"), FEW, "{totals}");
    assert_eq!(count(&totals, "stored"), 1, "{totals}");
    let tables = site.tables();
    let rows =
        [tables.messages.len(), tables.responders.len(), tables.responses.len(), tables.divergences.len()];
    assert_eq!(rows, [1, 1, 1, 0], "only what was right");
}

fn a_million_forgeries_are_in_nobodys_way<S: Site>() {
    println!("seed {SEED:#x}");
    let site = S::new();
    let mut recorder = Recorder::start(&site.url(), &["--keep-all"]);
    recorder.until_ready();
    let mut load = Load::start(&[recorder.address()], RATE);
    let before = load.acknowledged();
    forge(&recorder, MANY);
    assert!(load.acknowledged() > before, "real ones get through meanwhile");
    load.finish(&site);
    let memory = recorder.memory_max();
    assert!(memory < MEMORY_MAX, "{memory} bytes of memory");
    let totals = recorder.terminate().totals();
    let refused = totals["refused"].as_object().expect("counts");
    let refused: u64 = refused.values().map(|count| count.as_u64().expect("a count")).sum();
    let dropped = count(&totals, "socket_dropped");
    // What the socket dropped was a forgery or was sent again.
    assert!(refused <= MANY as u64 && refused + dropped >= MANY as u64, "{totals}");
    println!("{} MiB of memory; {totals}", memory >> 20);
}

/// Sends forgeries of all kinds, and garbage, as fast as one thread can.
fn forge(recorder: &Recorder, count: usize) {
    let mut chance = Chance::new(SEED);
    let mut all: Vec<Vec<u8>> = forgeries::all().into_iter().map(|forgery| forgery.bytes).collect();
    for _ in 0..20 {
        let len = usize::try_from(chance.below(1_400)).expect("short");
        let mut garbage: Vec<u8> = Chance::new(chance.next()).bytes().take(len).collect();
        // Chance must not make it a response.
        if let Some(first) = garbage.first_mut() {
            *first |= 0x80;
        }
        all.push(garbage);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for forgery in all.iter().cycle().take(count) {
        socket.send_to(forgery, recorder.address()).expect("sent");
    }
}
