//! The recorder is asked to stop while responses come in.

use std::net::TcpListener;

use crate::database::Site;
use crate::load::{self, Load, Rate, Speaker};
use crate::process::{Recorder, count};
use crate::support::{free_address, on_each_database, until};

/// How batches are made must not matter.
const OPTIONS: [&[&str]; 5] = [
    &[],
    &["--commit-wait", "100ms"],
    &["--commit-rows", "7"],
    &["--commit-rows", "1"],
    &["--commit-bytes", "65427"],
];
const RATE: Rate = Rate { responders: 4, responses: 4, queue: 8192 };

on_each_database! {
    what_was_taken_is_stored_and_acknowledged_when_it_stops
    the_longest_results_get_through_batches_that_have_room_for_one
}

fn what_was_taken_is_stored_and_acknowledged_when_it_stops<S: Site>() {
    let site = S::new();
    let listen = free_address();
    let mut load = Load::start(&[listen], RATE);
    for options in OPTIONS {
        let options = [&["--keep-all"], options].concat();
        let mut recorder = Recorder::start_at(&site.url(), listen, &options);
        recorder.until_ready();
        let before = load.acknowledged();
        until("responses are acknowledged", || load.acknowledged() > before + 500);
        let stored_before = site.tables().responses.len() as u64;
        let totals = recorder.terminate().totals();
        assert!(count(&totals, "stored") > 0, "{totals}");
        assert_eq!(count(&totals, "given_back"), 0, "{totals}");
        let tables = site.tables();
        assert!(tables.responses.len() as u64 >= stored_before, "nothing goes away");
        // The last acknowledgement says all of it.
        for speaker in &load.speakers {
            let id = speaker.responder.id();
            let (_, next) = tables.responders.iter().find(|(who, _)| who.0 == id).expect("it is known");
            until("all that is stored is acknowledged", || speaker.responder.acknowledged_below() == *next);
        }
        load.check(&site);
    }
    let mut recorder = Recorder::start_at(&site.url(), listen, &["--keep-all"]);
    recorder.until_ready();
    load.finish(&site);
    recorder.terminate().totals();
}

fn the_longest_results_get_through_batches_that_have_room_for_one<S: Site>() {
    let site = S::new();
    let mut recorder = Recorder::start(&site.url(), &["--keep-all", "--commit-bytes", "65427"]);
    recorder.until_ready();
    let speakers = [1, 2].map(|id| Speaker::new(id, &[recorder.address()], 1024));
    for seq in 1..=40 {
        for speaker in &speakers {
            assert!(speaker.say(1, seq, &vec![b'x'; speaker.responder.result_max()]));
        }
    }
    load::finish(&site, &speakers);
    recorder.terminate().totals();
}

/// Somebody takes connections where PostgreSQL should be, and says nothing.
#[test]
fn a_recorder_whose_database_never_answers_stops_when_it_is_asked_to() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let url = format!("postgres://me:s3cret@127.0.0.1:{port}/responses");
    let recorder = Recorder::start(&url, &[]);
    let _connection = silent.accept().expect("it tries");
    assert!(!recorder.is_ready());
    recorder.terminate().totals();
}
