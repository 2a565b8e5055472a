//! A network that loses, doubles and reorders, both ways.

use std::sync::atomic::Ordering::SeqCst;

use crate::database::Site;
use crate::lies;
use crate::load::{self, Speaker};
use crate::process::{Recorder, count};
use crate::proxy::Proxy;
use crate::support::on_each_database;

const SEED: u64 = 0x5eed_0004;
const RESPONDERS: u32 = 20;
const MESSAGES: u64 = 5_000;
const QUEUE: usize = 8192;

on_each_database! { losses_copies_and_reordering_change_nothing }

fn losses_copies_and_reordering_change_nothing<S: Site>() {
    println!("seed {SEED:#x}");
    let site = S::new();
    let mut recorder = Recorder::start(&site.url(), &[]);
    recorder.until_ready();
    let proxy = Proxy::start(recorder.address(), SEED);
    let speakers: Vec<Speaker> =
        (0..RESPONDERS).map(|n| Speaker::new(100 + n, &[proxy.address()], QUEUE)).collect();
    lies::answer_all(RESPONDERS, MESSAGES, |of, seq, result| {
        speakers[of as usize].say(lies::STREAM, seq, result)
    });
    let tables = load::finish(&site, &speakers);
    let divergent = lies::check(&tables, RESPONDERS, MESSAGES);
    let counts = proxy.counts();
    for count in [&counts.lost, &counts.doubled, &counts.delayed] {
        assert!(count.load(SeqCst) > u64::from(RESPONDERS) * MESSAGES / 100, "nothing was tried");
    }
    let totals = recorder.terminate().totals();
    assert_eq!(count(&totals, "stored"), u64::from(RESPONDERS) * MESSAGES, "{totals}");
    assert!(count(&totals, "duplicates") > 0, "{totals}");
    assert_eq!(count(&totals, "divergent"), divergent, "{totals}");
    assert!(divergent > 0);
}
