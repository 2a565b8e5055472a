//! The recorder is killed again and again while responses come in.

use std::net::SocketAddr;
use std::time::Duration;

use crate::chance::Chance;
use crate::database::Site;
use crate::load::{Load, Rate};
use crate::process::Recorder;
use crate::proxy::Proxy;
use crate::support::{free_address, on_each_database, until};

const CYCLES: u32 = 100;
const FEWER_CYCLES: u32 = 40;
const SEED: u64 = 0x5eed_0001;
const RATE: Rate = Rate { responders: 4, responses: 4, queue: 512 };

on_each_database! {
    kills_lose_and_double_nothing
    kills_with_less_durability_lose_and_double_nothing
    kills_on_a_bad_network_lose_and_double_nothing
}

fn kills_lose_and_double_nothing<S: Site>() {
    let listen = free_address();
    kills::<S>(CYCLES, listen, listen, "power");
}

/// An acknowledged response survives the death of the recorder all the same.
fn kills_with_less_durability_lose_and_double_nothing<S: Site>() {
    let listen = free_address();
    kills::<S>(FEWER_CYCLES, listen, listen, "process");
}

/// Here responses are stored out of order, and acknowledgements are lost: what a recorder knows of each responder when
/// it comes back is put to the test.
fn kills_on_a_bad_network_lose_and_double_nothing<S: Site>() {
    let listen = free_address();
    let proxy = Proxy::start(listen, SEED);
    kills::<S>(FEWER_CYCLES, listen, proxy.address(), "power");
}

/// Kills a recorder that listens in one place, and is responded to in another.
fn kills<S: Site>(cycles: u32, listen: SocketAddr, respond_to: SocketAddr, durability: &str) {
    println!("seed {SEED:#x}");
    let mut chance = Chance::new(SEED);
    let site = S::new();
    let options = ["--keep-all", "--durability", durability];
    let start = || Recorder::start_at(&site.url(), listen, &options);
    let mut recorder = start();
    let mut load = Load::start(&[respond_to], RATE);
    let mut acknowledged = 0;
    let mut cycles_with_progress = 0;
    for cycle in 0..cycles {
        recorder.until_ready();
        // Responders that have been alone for a while are slow to come back: half of the kills wait for them.
        if cycle % 2 == 0 {
            until("something is acknowledged", || load.acknowledged() > acknowledged);
        }
        std::thread::sleep(Duration::from_millis(5 + chance.below(146)));
        recorder.kill();
        load.check(&site);
        let now = load.acknowledged();
        cycles_with_progress += u32::from(now > acknowledged);
        acknowledged = now;
        recorder = start();
    }
    recorder.until_ready();
    load.finish(&site);
    assert!(cycles_with_progress >= cycles / 2, "kills between acknowledgements: {cycles_with_progress}");
    println!("{} responses", load.acknowledged());
}
