//! A recorder stands by, and takes over when the one that writes is killed.

use std::net::SocketAddr;
use std::time::Duration;

use crate::chance::Chance;
use crate::database::Site;
use crate::load::{Load, Rate};
use crate::process::Recorder;
use crate::support::{free_address, on_each_database, until, until_within};

const TURNS: usize = 10;
const TURNS_AT_ONE_ADDRESS: usize = 3;
const SEED: u64 = 0x5eed_0006;
/// The bound that is stated for a takeover.
const TAKEOVER_MAX: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);
const RATE: Rate = Rate { responders: 4, responses: 2, queue: 8192 };

on_each_database! { a_standby_takes_over_within_seconds a_standby_takes_the_address_over_as_well }

fn a_standby_takes_over_within_seconds<S: Site>() {
    takeovers::<S>(TURNS, [free_address(), free_address()]);
}

fn a_standby_takes_the_address_over_as_well<S: Site>() {
    takeovers::<S>(TURNS_AT_ONE_ADDRESS, [free_address(); 2]);
}

fn takeovers<S: Site>(turns: usize, places: [SocketAddr; 2]) {
    println!("seed {SEED:#x}");
    let mut chance = Chance::new(SEED);
    let site = S::new();
    let start = |place: usize| Recorder::start_at(&site.url(), places[place], &["--keep-all"]);
    let mut writer = start(0);
    writer.until_ready();
    let mut standby = start(1);
    // The same twice is one.
    let mut load = Load::start(&places, RATE);
    for turn in 0..turns {
        until("the other stands by", || standby.log().contains("standing by"));
        assert!(!standby.is_ready(), "only one writes");
        let before = load.acknowledged();
        until("responses are acknowledged", || load.acknowledged() > before + 100);
        std::thread::sleep(Duration::from_millis(chance.below(150)));
        writer.kill();
        // Whatever is accepted from here on is new.
        let sent: Vec<u64> = load.speakers.iter().map(|speaker| speaker.sent()).collect();
        until_within("new responses are acknowledged by the other", TAKEOVER_MAX, LOOK, || {
            load.speakers
                .iter()
                .zip(&sent)
                .all(|(speaker, sent)| speaker.responder.acknowledged_below() > sent + 1)
        });
        load.check(&site);
        standby.until_ready();
        writer = standby;
        standby = start(turn % 2);
    }
    load.finish(&site);
}
