//! The recorder is killed while it starts: while it makes its tables, takes over, or tidies up behind the one before.

use std::time::Duration;

use crate::chance::Chance;
use crate::database::Site;
use crate::load::{Load, Rate};
use crate::process::Recorder;
use crate::support::{free_address, on_each_database};

const DATABASES: u32 = 5;
const KILLS: u32 = 6;
const SEED: u64 = 0x5eed_000a;
/// It takes about this long to start.
const START_US: u64 = 40_000;
const RATE: Rate = Rate { responders: 2, responses: 2, queue: 256 };

on_each_database! { kills_while_it_starts_leave_a_database_that_works }

fn kills_while_it_starts_leave_a_database_that_works<S: Site>() {
    println!("seed {SEED:#x}");
    let mut chance = Chance::new(SEED);
    for _ in 0..DATABASES {
        let site = S::new();
        let listen = free_address();
        let mut load = Load::start(&[listen], RATE);
        for _ in 0..KILLS {
            let recorder = Recorder::spawn(&site.url(), listen, &["--keep-all"]);
            std::thread::sleep(Duration::from_micros(chance.below(START_US)));
            recorder.kill();
        }
        let mut recorder = Recorder::start_at(&site.url(), listen, &["--keep-all"]);
        recorder.until_ready();
        load.finish(&site);
        recorder.terminate().totals();
    }
}
