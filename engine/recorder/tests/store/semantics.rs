//! What it means to store a batch: the same tests on each kind of database.

use std::net::SocketAddr;

use headcast_recorder::{Options, Receipt, Responder, Response, Subject, Tally};

use crate::fixture::{Cell, Fixture, integers, response, write};
use crate::on_every_kind;

on_every_kind! {
    the_first_result_wins_and_every_response_counts
    a_hundred_responders_of_one_message_make_one_row
    divergence_within_one_batch_is_kept
    divergence_across_batches_is_kept
    a_liar_who_is_first_makes_the_others_diverge
    a_stored_liar_makes_a_whole_batch_diverge
    duplicates_are_not_counted_and_are_acknowledged_again
    nothing_is_counted_twice_when_it_is_opened_again
    responses_out_of_order_are_acknowledged_by_their_bits
    an_unknown_responder_begins_where_it_says
    what_is_too_far_ahead_is_not_stored
    a_stranger_of_whom_nothing_is_stored_gets_no_receipt
    every_response_is_kept_if_so_wanted
    results_are_bytes_and_nothing_else
    the_highest_numbers_there_are_do_no_harm
    sessions_and_streams_are_kept_apart
    the_receipt_goes_to_where_the_newest_came_from
    an_empty_batch_is_nothing
    people_have_a_view
}

fn the_first_result_wins_and_every_response_counts<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let (tally, receipts) = write(&mut store, &[response(1, 1, 10, b"yes"), response(2, 1, 10, b"yes")]);
    assert_eq!(tally, Tally { stored: 2, rows: 1, bytes: 6, ..Tally::default() });
    assert_eq!(receipts.len(), 2);
    let (tally, _) = write(&mut store, &[response(3, 1, 10, b"yes"), response(1, 2, 11, b"no")]);
    assert_eq!(tally, Tally { stored: 2, rows: 1, bytes: 5, ..Tally::default() });
    let rows = fixture.rows("SELECT result, responses, divergent FROM messages ORDER BY seq");
    let row = |result: &[u8], responses| {
        vec![Cell::Bytes(result.to_vec()), Cell::Integer(responses), Cell::Integer(0)]
    };
    assert_eq!(rows, [row(b"yes", 3), row(b"no", 1)]);
    assert_eq!(fixture.rows("SELECT publisher FROM records ORDER BY seq"), vec![vec![Cell::Integer(5)]; 2]);
}

fn a_hundred_responders_of_one_message_make_one_row<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let all: Vec<Response> = (0..100).map(|n| response(n, 1, 10, b"the same")).collect();
    let (tally, receipts) = write(&mut store, &all);
    assert_eq!(tally, Tally { stored: 100, rows: 1, bytes: 800, ..Tally::default() });
    assert_eq!(receipts.len(), 100);
    assert!(receipts.iter().all(|receipt| (receipt.next, receipt.bitmap) == (2, 0)));
    assert_eq!(integers(&fixture.rows("SELECT responses, divergent FROM messages")[0]), [100, 0]);
    assert_eq!(fixture.dump().counts, [1, 100, 1, 0, 0]);
}

fn divergence_within_one_batch_is_kept<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let all = [
        response(1, 1, 10, b"a"),
        response(2, 1, 10, b"b"),
        response(3, 1, 10, b"a"),
        response(4, 1, 10, b"c"),
    ];
    let (tally, _) = write(&mut store, &all);
    assert_eq!(tally, Tally { stored: 4, rows: 1, divergent: 2, bytes: 4, ..Tally::default() });
    assert_eq!(integers(&fixture.rows("SELECT responses, divergent FROM messages")[0]), [4, 2]);
    let said = fixture.rows(
        "SELECT r.publisher, d.result FROM divergences d JOIN responders r ON r.id = d.responder_id ORDER BY 1",
    );
    assert_eq!(
        said,
        [(1002, b"b"), (1004, b"c")].map(|(who, what)| vec![Cell::Integer(who), Cell::Bytes(what.to_vec())])
    );
}

fn divergence_across_batches_is_kept<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    write(&mut store, &[response(1, 1, 10, b"a")]);
    let (tally, _) = write(&mut store, &[response(2, 1, 10, b"b"), response(3, 1, 10, b"a")]);
    assert_eq!(tally, Tally { stored: 2, divergent: 1, bytes: 2, ..Tally::default() });
    assert_eq!(integers(&fixture.rows("SELECT responses, divergent FROM messages")[0]), [3, 1]);
    // The row of the batch agrees with what is stored, and one in the batch with neither.
    let (tally, _) = write(&mut store, &[response(4, 1, 10, b"a"), response(5, 1, 10, b"x")]);
    assert_eq!(tally.divergent, 1);
    assert_eq!(integers(&fixture.rows("SELECT responses, divergent FROM messages")[0]), [5, 2]);
    assert_eq!(fixture.integer("SELECT count(*) FROM divergences"), 2);
}

fn a_liar_who_is_first_makes_the_others_diverge<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let mut all = vec![response(1, 1, 10, b"lie")];
    all.extend((2..10).map(|n| response(n, 1, 10, b"truth")));
    let (tally, _) = write(&mut store, &all);
    assert_eq!((tally.stored, tally.divergent), (9, 8));
    assert_eq!(integers(&fixture.rows("SELECT responses, divergent FROM messages")[0]), [9, 8]);
    assert_eq!(fixture.rows("SELECT result FROM messages"), [[Cell::Bytes(b"lie".to_vec())]]);
}

fn a_stored_liar_makes_a_whole_batch_diverge<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    write(&mut store, &[response(1, 1, 10, b"lie")]);
    let mut all: Vec<Response> = (2..10).map(|n| response(n, 1, 10, b"truth")).collect();
    all.push(response(10, 1, 10, b"lie"));
    all.push(response(1, 2, 11, b"other"));
    let (tally, _) = write(&mut store, &all);
    assert_eq!((tally.stored, tally.rows, tally.divergent), (10, 1, 8));
    assert_eq!(
        integers(&fixture.rows("SELECT responses, divergent FROM messages ORDER BY seq").concat()),
        [10, 8, 1, 0]
    );
}

fn duplicates_are_not_counted_and_are_acknowledged_again<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    // Twice in one batch, and again in the next.
    let (tally, first) = write(&mut store, &[response(1, 1, 10, b"a"), response(1, 1, 10, b"a")]);
    assert_eq!((tally.stored, tally.duplicates), (1, 1));
    let before = fixture.dump();
    let (tally, again) = write(&mut store, &[response(1, 1, 10, b"a")]);
    assert_eq!(tally, Tally { duplicates: 1, ..Tally::default() });
    assert_eq!(again, first);
    assert_eq!(fixture.dump(), before);
    // Not even with another result.
    write(&mut store, &[response(1, 1, 10, b"another"), response(1, 1, 99, b"a")]);
    assert_eq!(fixture.dump(), before);
}

fn nothing_is_counted_twice_when_it_is_opened_again<F: Fixture>() {
    let fixture = F::new();
    let all = [response(1, 1, 10, b"a"), response(2, 3, 10, b"b"), response(2, 1, 11, b"c")];
    let (_, first) = write(&mut fixture.open(), &all);
    let before = fixture.dump();
    for _ in 0..3 {
        let (tally, receipts) = write(&mut fixture.open(), &all);
        assert_eq!(tally, Tally { duplicates: 3, ..Tally::default() });
        assert_eq!(receipts, first);
        assert_eq!(fixture.dump(), before);
    }
    let (tally, _) = write(&mut fixture.open(), &[response(2, 2, 12, b"d"), response(2, 3, 10, b"b")]);
    assert_eq!((tally.stored, tally.duplicates), (1, 1));
    assert_eq!(
        fixture.rows("SELECT next, bitmap FROM responders WHERE publisher = 1002"),
        [[Cell::Integer(4), Cell::Bytes(vec![])]]
    );
}

fn responses_out_of_order_are_acknowledged_by_their_bits<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let all: Vec<Response> = [3, 5, 2, 70].into_iter().map(|seq| response(1, seq, seq, b"")).collect();
    let (_, receipts) = write(&mut store, &all);
    assert_eq!((receipts[0].next, receipts[0].bitmap), (1, 0b1011));
    drop(store);
    let (_, receipts) = write(&mut fixture.open(), &[response(1, 1, 1, b"")]);
    // 70 is beyond 4 + 1 + 63, and is kept all the same.
    assert_eq!((receipts[0].next, receipts[0].bitmap), (4, 0b1));
    let (tally, _) = write(&mut fixture.open(), &[response(1, 70, 70, b"")]);
    assert_eq!(tally.duplicates, 1);
}

fn an_unknown_responder_begins_where_it_says<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let (tally, receipts) = write(&mut store, &[Response { held_from: 9000, ..response(1, 9001, 1, b"") }]);
    assert_eq!(tally.stored, 1);
    assert_eq!((receipts[0].next, receipts[0].bitmap), (9000, 1));
    // What it no longer holds will not come: the database of another recorder has it.
    let (tally, receipts) = write(&mut store, &[Response { held_from: 9003, ..response(1, 9004, 1, b"") }]);
    assert_eq!((tally.stored, receipts[0].next, receipts[0].bitmap), (1, 9003, 1));
    // What it said before stays said, also if nothing new came with it.
    let (tally, _) = write(&mut store, &[Response { held_from: 9004, ..response(1, 9004, 1, b"") }]);
    assert_eq!(tally.duplicates, 1);
    assert_eq!(fixture.integer("SELECT next FROM responders"), 9005);
    let (tally, receipts) = write(&mut store, &[Response { held_from: 9000, ..response(1, 9000, 1, b"") }]);
    assert_eq!((tally.duplicates, receipts[0].next), (1, 9005));
    // What it sends it holds, whatever it says; and there is no response 0.
    let (tally, receipts) = write(&mut store, &[Response { held_from: 50, ..response(2, 7, 1, b"") }]);
    assert_eq!((tally.stored, receipts[0].next), (1, 8));
    let (tally, receipts) = write(&mut store, &[Response { held_from: 0, ..response(3, 1, 1, b"") }]);
    assert_eq!((tally.stored, receipts[0].next), (1, 2));
}

fn what_is_too_far_ahead_is_not_stored<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let span = headcast_proto::stored::SPAN;
    write(&mut store, &[response(1, 1, 1, b"")]);
    let (tally, receipts) =
        write(&mut store, &[response(1, 2 + span, 2, b""), response(1, 1 + span, 3, b"")]);
    assert_eq!((tally.stored, tally.ahead, receipts[0].next), (1, 1, 2));
    assert_eq!(fixture.integer("SELECT count(*) FROM messages"), 2);
    // It comes again when there is room.
    let (tally, _) = write(
        &mut fixture_reopened(store, &fixture),
        &[response(1, 2, 4, b""), response(1, 2 + span, 2, b"")],
    );
    assert_eq!((tally.stored, tally.ahead), (2, 0));
}

fn fixture_reopened<F: Fixture>(store: headcast_recorder::Store, fixture: &F) -> headcast_recorder::Store {
    drop(store);
    fixture.open()
}

fn a_stranger_of_whom_nothing_is_stored_gets_no_receipt<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let far = Response { held_from: 1, ..response(1, 1_000_000, 1, b"") };
    let (tally, receipts) = write(&mut store, &[far, response(2, 1, 1, b"")]);
    assert_eq!((tally.ahead, tally.stored), (1, 1));
    assert_eq!(receipts.iter().map(|receipt| receipt.responder.publisher).collect::<Vec<_>>(), [1002]);
    assert_eq!(fixture.integer("SELECT count(*) FROM responders"), 1);
    let (tally, receipts) = write(&mut store, &[far, Response { seq: 0, ..far }]);
    assert_eq!((tally.ahead, tally.duplicates, receipts.len()), (1, 1, 0));
    // It says something else the next time, and is heard.
    let (tally, receipts) = write(&mut store, &[Response { held_from: 999_999, ..far }]);
    assert_eq!((tally.stored, receipts[0].next, receipts[0].bitmap), (1, 999_999, 1));
    // Nor is what it says of what it holds kept: an older datagram of it that comes later is stored.
    let ahead = Response { held_from: 2, ..response(8, 5_000, 10, b"x") };
    let (tally, receipts) = write(&mut store, &[ahead]);
    assert_eq!((tally.ahead, tally.stored, receipts.len()), (1, 0, 0));
    let (tally, receipts) = write(&mut store, &[response(8, 1, 10, b"x")]);
    assert_eq!((tally.stored, tally.duplicates, receipts.len()), (1, 0, 1));
}

fn every_response_is_kept_if_so_wanted<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open_with(Options { keep_all: true, ..Options::default() });
    let all = [response(1, 1, 10, b"a"), response(2, 1, 10, b"a"), response(3, 1, 10, b"b")];
    write(&mut store, &all);
    write(&mut store, &all);
    let dump = fixture.dump();
    assert_eq!(dump.counts, [1, 3, 1, 1, 3]);
    assert_eq!(integers(&dump.responses[1]), [5, 0x2a, 3, 10, 0, 1002, 0x1b02, 1, 1_000_001]);
    assert_eq!(dump.responses[2][8], Cell::Bytes(b"b".to_vec()));
}

fn results_are_bytes_and_nothing_else<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open_with(Options { keep_all: true, ..Options::default() });
    let every_byte: Vec<u8> = (0..=255).collect();
    let long = vec![0xfe; 65_000];
    let results: [&[u8]; 8] = [
        b"",
        b"\0",
        b"\0\0",
        b"'; DROP TABLE messages; --",
        b"\\x00 $1 ?1 %s {}",
        b"\xff\xfe not UTF-8 \xc3",
        &every_byte,
        &long,
    ];
    for (at, result) in (1..).zip(results) {
        // The second says it otherwise by one byte at the end, where a comparison of texts would stop early.
        let other = [result, b"\0"].concat();
        let mut all =
            vec![response(1, at, at, result), response(2, at, at, result), response(3, at, at, &other)];
        all.rotate_right(2);
        all.rotate_left(2);
        let (tally, _) = write(&mut store, &all);
        assert_eq!((tally.stored, tally.divergent), (3, 1), "{result:?}");
        let (tally, _) = write(&mut store, &[response(4, at, at, &other), response(5, at, at, result)]);
        assert_eq!((tally.stored, tally.divergent), (2, 1), "{result:?}");
    }
    let stored = fixture.rows("SELECT result, responses, divergent FROM messages ORDER BY seq");
    let expected: Vec<_> =
        results.iter().map(|r| vec![Cell::Bytes(r.to_vec()), Cell::Integer(5), Cell::Integer(2)]).collect();
    assert_eq!(stored, expected);
    assert_eq!(fixture.integer("SELECT count(*) FROM responses"), 40);
}

fn the_highest_numbers_there_are_do_no_harm<F: Fixture>() {
    let fixture = F::new();
    let highest = Response {
        responder: Responder { publisher: u32::MAX, session: u64::MAX },
        seq: u64::MAX - 1,
        held_from: u64::MAX - 1,
        source: "[2001:db8::ffff%7]:65535".parse::<SocketAddr>().expect("an address"),
        received_ns: u64::MAX,
        subject: Subject {
            publisher: u32::MAX,
            session: u64::MAX,
            stream: u16::MAX,
            seq: u64::MAX,
            part: u16::MAX,
        },
        result: b"",
    };
    let (tally, first) = write(&mut fixture.open(), &[highest]);
    assert_eq!((tally.stored, first[0].next), (1, u64::MAX));
    let (tally, again) = write(&mut fixture.open(), &[highest]);
    assert_eq!((tally.duplicates, &again), (1, &first));
    write(&mut fixture.open(), &[Response { seq: u64::MAX, ..highest }]);
    let session = fixture.rows("SELECT session, responder_session FROM records");
    assert_eq!(session, [vec![Cell::Text("ffffffffffffffff".into()); 2]]);
    assert_eq!(fixture.integer("SELECT part FROM records"), u16::MAX.into());
}

fn sessions_and_streams_are_kept_apart<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let one = response(1, 1, 10, b"a");
    let subjects = [
        one.subject,
        Subject { publisher: 6, ..one.subject },
        Subject { session: 0x2b, ..one.subject },
        Subject { stream: 4, ..one.subject },
    ];
    let all: Vec<Response> =
        (1..).zip(subjects).map(|(seq, subject)| Response { seq, subject, ..one }).collect();
    let (tally, _) = write(&mut store, &all);
    assert_eq!((tally.stored, tally.rows), (4, 4));
    let other = Response { responder: Responder { session: 9, ..one.responder }, ..one };
    let (tally, receipts) = write(&mut store, &[other]);
    assert_eq!((tally.stored, tally.rows, receipts[0].next), (1, 0, 2));
    assert_eq!(fixture.dump().counts, [4, 2, 4, 0, 0]);
}

fn the_receipt_goes_to_where_the_newest_came_from<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let there = SocketAddr::from(([192, 0, 2, 1], 1));
    let moved = Response { source: there, received_ns: 77, ..response(1, 2, 2, b"") };
    let (_, receipts) = write(&mut store, &[response(1, 1, 1, b""), moved]);
    let Receipt { source, next, .. } = receipts[0];
    assert_eq!((receipts.len(), source, next), (1, there, 3));
    assert_eq!(
        fixture.rows("SELECT address, heard_ns FROM responders"),
        [[Cell::Text("192.0.2.1:1".into()), Cell::Integer(77)]]
    );
}

fn an_empty_batch_is_nothing<F: Fixture>() {
    let fixture = F::new();
    let (tally, receipts) = write(&mut fixture.open(), &[]);
    assert_eq!((tally, receipts.len()), (Tally::default(), 0));
    assert_eq!(fixture.dump().counts, [0; 5]);
}

fn people_have_a_view<F: Fixture>() {
    let fixture = F::new();
    write(&mut fixture.open(), &[response(1, 1, 10, b"yes"), response(2, 1, 10, b"no")]);
    let rows = fixture.rows(
        "SELECT publisher, session, stream, seq, result, responder, responder_session, address, recorded_ns, \
         responses, divergent, part FROM records",
    );
    let (integer, text) = (Cell::Integer, |text: &str| Cell::Text(text.to_owned()));
    assert_eq!(
        rows,
        [[
            integer(5),
            text("000000000000002a"),
            integer(3),
            integer(10),
            Cell::Bytes(b"yes".to_vec()),
            integer(1001),
            text("0000000000001b01"),
            text("10.0.0.1:7000"),
            integer(1_000_001),
            integer(2),
            integer(1),
            integer(0),
        ]]
    );
}
