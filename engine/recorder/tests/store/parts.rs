//! Messages that shared a datagram have one sequence, and each has its own row.

use headcast_recorder::{Options, Response, Tally};

use crate::fixture::{Cell, Fixture, integers, response, to_part, write};
use crate::on_every_kind;

on_every_kind! {
    messages_of_one_datagram_are_kept_apart
    messages_of_one_datagram_diverge_each_by_itself
    messages_of_one_datagram_are_told_apart_in_any_order
}

fn messages_of_one_datagram_are_kept_apart<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open_with(Options { keep_all: true, ..Options::default() });
    // One responder answers all three in one batch, another in one batch each; nobody says the same of two.
    let results = [b"zero", b"one.", b"two."];
    let answers = |responder| {
        (1..)
            .zip((0..).zip(results))
            .map(move |(seq, (part, result))| to_part(part, response(responder, seq, 10, result)))
    };
    let all: Vec<Response> = answers(1).collect();
    let (tally, receipts) = write(&mut store, &all);
    assert_eq!(tally, Tally { stored: 3, rows: 3, bytes: 12, ..Tally::default() });
    assert_eq!(receipts[0].next, 4);
    for one in answers(2) {
        let (tally, _) = write(&mut store, &[one]);
        assert_eq!(tally, Tally { stored: 1, bytes: 4, ..Tally::default() });
    }
    let rows = fixture.rows("SELECT seq, part, responses, divergent, result FROM records ORDER BY part");
    let row = |part, result: &[u8]| {
        let mut row = [10, part, 2, 0].map(Cell::Integer).to_vec();
        row.push(Cell::Bytes(result.to_vec()));
        row
    };
    assert_eq!(rows, [row(0, results[0]), row(1, results[1]), row(2, results[2])]);
    let kept = "SELECT part, count(*) FROM responses GROUP BY part ORDER BY part";
    assert_eq!(integers(&fixture.rows(kept).concat()), [0, 2, 1, 2, 2, 2]);
    // They are duplicates only of themselves.
    let before = fixture.dump();
    let (tally, _) = write(&mut store, &all);
    assert_eq!((tally, fixture.dump()), (Tally { duplicates: 3, ..Tally::default() }, before));
}

fn messages_of_one_datagram_diverge_each_by_itself<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    write(&mut store, &[response(1, 1, 10, b"a"), to_part(1, response(1, 2, 10, b"b"))]);
    // What is said of one is what was said of the other; one differs within the batch, one from what is stored.
    let (tally, _) = write(
        &mut store,
        &[
            response(2, 1, 10, b"a"),
            to_part(1, response(2, 2, 10, b"a")),
            to_part(1, response(3, 1, 10, b"b")),
            to_part(2, response(2, 3, 10, b"a")),
            to_part(2, response(3, 2, 10, b"b")),
        ],
    );
    assert_eq!(tally, Tally { stored: 5, rows: 1, divergent: 2, bytes: 5, ..Tally::default() });
    let rows = fixture.rows("SELECT part, responses, divergent FROM messages ORDER BY part");
    assert_eq!(integers(&rows.concat()), [0, 2, 0, 1, 3, 1, 2, 2, 1]);
    let said =
        "SELECT d.part, r.publisher FROM divergences d JOIN responders r ON r.id = d.responder_id ORDER BY 1";
    assert_eq!(integers(&fixture.rows(said).concat()), [1, 1002, 2, 1003]);
}

fn messages_of_one_datagram_are_told_apart_in_any_order<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    // Not in the order of their keys, and each three times.
    let messages: [(u64, u16); 5] = [(2, 1), (1, u16::MAX), (2, 0), (1, 0), (1, 1)];
    let all: Vec<Response> = (0..3)
        .flat_map(|n| {
            let answer = move |(own, (seq, part))| to_part(part, response(n, own, seq, b"x"));
            (1..).zip(messages).map(answer)
        })
        .collect();
    let (tally, _) = write(&mut store, &all);
    assert_eq!(tally, Tally { stored: 15, rows: 5, bytes: 15, ..Tally::default() });
    let rows = fixture.rows("SELECT seq, part, responses FROM messages ORDER BY seq, part");
    assert_eq!(integers(&rows.concat()), [1, 0, 3, 1, 1, 3, 1, 65_535, 3, 2, 0, 3, 2, 1, 3]);
}
