//! More responders than a recorder remembers: each says one thing, as pods do that come and go.

use std::net::UdpSocket;
use std::time::Duration;

use headcast_proto::{Datagram, body};

use crate::database::Site;
use crate::process::{Recorder, count};
use crate::raw;
use crate::support::on_each_database;

/// More than are remembered at a time.
const CROWD: u32 = 80_000;
/// How many are waited for together.
const TOGETHER: u32 = 128;
/// How often one says the same until it is acknowledged.
const TRIES_MAX: u32 = 50;
const MEMORY_MAX: u64 = 200 << 20;

on_each_database! { a_crowd_of_responders_is_stored_and_memory_stays_bounded }

fn a_crowd_of_responders_is_stored_and_memory_stays_bounded<S: Site>() {
    let site = S::new();
    let mut recorder = Recorder::start(&site.url(), &[]);
    recorder.until_ready();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(recorder.address()).expect("an address");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    for first in (0..CROWD).step_by(TOGETHER as usize) {
        let group: Vec<Vec<u8>> =
            (first..CROWD.min(first + TOGETHER)).map(|id| raw::response(id, b"done")).collect();
        say_all(&socket, first, &group);
    }

    let memory = recorder.memory_max();
    assert!(memory < MEMORY_MAX, "{memory} bytes of memory");
    let totals = recorder.terminate().totals();
    assert_eq!(count(&totals, "stored"), u64::from(CROWD), "{totals}");
    let tables = site.tables();
    assert_eq!(tables.responders.len(), CROWD as usize);
    assert!(tables.responders.values().all(|next| *next == 2));
    let states: Vec<u64> = tables.messages.values().map(|state| state.responses).collect();
    assert_eq!(states, [u64::from(CROWD)], "they all answered one message");
    println!("{} MiB of memory; {totals}", memory >> 20);
}

/// Says the responses of those from `first` on until all are acknowledged.
fn say_all(socket: &UdpSocket, first: u32, group: &[Vec<u8>]) {
    let mut open = vec![true; group.len()];
    for _ in 0..TRIES_MAX {
        for (_, response) in open.iter().zip(group).filter(|(open, _)| **open) {
            socket.send(response).expect("sent");
        }
        let mut bytes = [0; 256];
        while open.contains(&true) {
            let Ok(len) = socket.recv(&mut bytes) else { break };
            let ack = Datagram::parse(&bytes[..len]).expect("valid");
            let ack = body::ack(ack.payload()).expect("an acknowledgement");
            assert_eq!(ack.next.get(), 2);
            // One of those before may be told twice.
            if let Some(at) = ack.publisher.get().checked_sub(first) {
                open[at as usize] = false;
            }
        }
        if !open.contains(&true) {
            return;
        }
    }
    panic!("not all are acknowledged after {TRIES_MAX} tries");
}
