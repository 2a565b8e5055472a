//! A recorder stands still for so long that another becomes the writer, and then goes on.

use nix::sys::signal::Signal;

use crate::database::{PostgresSite, Site};
use crate::load::{Load, Rate};
use crate::process::{Recorder, count};
use crate::support::{SOON, free_address, until};

const TURNS: u32 = 6;
const RATE: Rate = Rate { responders: 4, responses: 2, queue: 8192 };

#[test]
fn a_recorder_that_was_replaced_while_it_stood_still_stores_nothing_and_stands_by() {
    let site = PostgresSite::new();
    let places = [free_address(), free_address()];
    let start = |place: usize| Recorder::start_at(&site.url(), places[place], &["--keep-all"]);
    let mut writer = start(0);
    writer.until_ready();
    let mut standby = start(1);
    let mut load = Load::start(&places, RATE);
    let mut totals = Vec::new();
    for turn in 0..TURNS {
        until("the other stands by", || standby.log().contains("standing by"));
        let before = load.acknowledged();
        until("responses are acknowledged", || load.acknowledged() > before + 500);
        writer.signal(Signal::SIGSTOP);
        cut_off(&site);
        standby.until_ready();
        let before = load.acknowledged();
        until("the other acknowledges", || load.acknowledged() > before + 500);
        writer.signal(Signal::SIGCONT);
        writer.until_ready_is(false, SOON);
        load.check(&site);
        std::mem::swap(&mut writer, &mut standby);
        if turn % 2 == 0 {
            // Some are replaced for good, and what they had taken must add up.
            let place = places.iter().position(|place| *place == standby.address()).expect("one of two");
            totals.push(standby.terminate().totals());
            standby = start(place);
        }
    }
    load.finish(&site);
    totals.extend([writer.terminate().totals(), standby.terminate().totals()]);
    let sum = |name: &str| totals.iter().map(|totals| count(totals, name)).sum::<u64>();
    // A commit whose answer is cut off is one that its recorder knows nothing of: it gives those responses back, and
    // to the other one they are stored already.
    let (stored, given_back) = (sum("stored"), sum("given_back"));
    let acknowledged = load.acknowledged();
    assert!(
        stored <= acknowledged,
        "{stored} stored, {acknowledged} acknowledged: each is stored by one at most"
    );
    let known = stored + given_back;
    assert!(known >= acknowledged, "{stored} stored, {given_back} given back, {acknowledged} acknowledged");
}

/// Ends the connection of the writer, as PostgreSQL does when nothing is heard of its host any more.
fn cut_off(site: &PostgresSite) {
    let mut client = postgres::Client::connect(&site.url(), postgres::NoTls).expect("it lets us in");
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let cut = client.query(sql, &[]).expect("it may");
    assert_eq!(cut.len(), 1, "one has the lock");
}
