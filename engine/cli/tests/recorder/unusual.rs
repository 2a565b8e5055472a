//! What looks like something else, and numbers at their ends: stored as data, and equal when it comes back.

use headcast::{Session, StreamId, clock};

use crate::database::Site;
use crate::load::{self, Speaker};
use crate::process::{Recorder, count};
use crate::raw::{self, at, put};
use crate::support::on_each_database;

/// The last number that a database can count.
const LAST: u64 = i64::MAX.cast_unsigned();

on_each_database! {
    results_that_look_like_something_else_are_data
    numbers_at_their_ends_are_stored_as_they_are
    the_last_responses_that_can_be_numbered_are_acknowledged_and_known_after_a_restart
}

fn results_that_look_like_something_else_are_data<S: Site>() {
    let site = S::new();
    let mut recorder = Recorder::start(&site.url(), &["--keep-all"]);
    recorder.until_ready();
    let speakers = [1, 2].map(|id| Speaker::new(id, &[recorder.address()], 1024));
    let longest = vec![0xa5; speakers[0].responder.result_max()];
    let all: Vec<u8> = (0..=255).collect();
    let results: [&[u8]; 12] = [
        b"",
        b"\0",
        b"\0\0 zeros \0",
        b"'; DROP TABLE messages; --",
        b"\"; DELETE FROM responses WHERE ''='",
        b"$1 ?1 :x @x %s {} \\x00 \\000",
        b"NULL",
        b"\\",
        b"\xff\xfe\x80 not UTF-8",
        "\u{feff}\u{202e}\u{1f980}\r\n\t".as_bytes(),
        &all,
        &longest,
    ];
    for (seq, result) in (1..).zip(results) {
        assert!(speakers[0].say(1, seq, result));
        // The other says the same of half of them, and something else that looks alike of the others.
        let other = if seq % 2 == 0 { result.to_vec() } else { [result, b"\0"].concat() };
        let other = &other[..other.len().min(longest.len())];
        assert!(speakers[1].say(1, seq, other));
    }
    let tables = load::finish(&site, &speakers);
    assert_eq!(tables.messages.len(), results.len());
    recorder.terminate().totals();
}

fn numbers_at_their_ends_are_stored_as_they_are<S: Site>() {
    let site = S::new();
    let mut recorder = Recorder::start(&site.url(), &["--keep-all"]);
    recorder.until_ready();
    let speakers = [0, u32::MAX].map(|id| Speaker::new(id, &[recorder.address()], 1024));
    for speaker in &speakers {
        for publisher in [0, 1, u32::MAX] {
            for session in [0, 1, LAST] {
                for stream in [0, u16::MAX] {
                    for seq in [1, u64::from(u32::MAX), LAST - 1, LAST] {
                        let id = StreamId { publisher, session: Session::from_bits(session), stream };
                        for part in [0, 1, u16::MAX] {
                            assert!(speaker.say_to(id, seq, part, b"done"));
                        }
                    }
                }
            }
        }
    }
    let tables = load::finish(&site, &speakers);
    assert_eq!(tables.messages.len(), 3 * 3 * 2 * 4 * 3);
    assert_eq!(tables.messages[&(u32::MAX, LAST, u16::MAX, LAST, u16::MAX)].responses, 2);
    recorder.terminate().totals();
}

fn the_last_responses_that_can_be_numbered_are_acknowledged_and_known_after_a_restart<S: Site>() {
    let site = S::new();
    let mut response = raw::response(u32::MAX, b"the last");
    put(&mut response, at::SESSION, LAST.to_le_bytes());
    put(&mut response, at::TIMESTAMP, u64::MAX.to_le_bytes());
    put(&mut response, at::SEQ, LAST.to_le_bytes());
    put(&mut response, at::HELD_FROM, (LAST - 1).to_le_bytes());
    let mut one_before = response.clone();
    put(&mut one_before, at::SEQ, (LAST - 1).to_le_bytes());
    let began_ns = i64::try_from(clock::unix_ns()).expect("a time of today");
    for turn in 0..2 {
        let mut recorder = Recorder::start(&site.url(), &["--keep-all"]);
        recorder.until_ready();
        let bitmap = if turn == 0 { (LAST - 1, 1) } else { (LAST + 1, 0) };
        assert_eq!(raw::acknowledged(recorder.address(), &response), bitmap);
        assert_eq!(raw::acknowledged(recorder.address(), &one_before), (LAST + 1, 0));
        let totals = recorder.terminate().totals();
        assert_eq!(count(&totals, "stored"), if turn == 0 { 2 } else { 0 }, "{totals}");
    }
    let tables = site.tables();
    assert_eq!(tables.responders[&(u32::MAX, LAST)], LAST + 1);
    assert_eq!(tables.responses.len(), 2);
    let said = &tables.responses[&((u32::MAX, LAST), LAST)];
    assert_eq!(said.result, b"the last");
    assert!(said.recorded_ns >= began_ns, "the time is that of receiving");
}
