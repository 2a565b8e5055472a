//! What was stored can be read, on each kind of database.

use std::ops::ControlFlow;

use headcast_recorder::records::{Divergence, Filter, Record, Records, Stats};
use headcast_recorder::{Responder, Response, StoreError, Subject};

use crate::fixture::{Fixture, SqliteFile, response, to_part, write};
use crate::on_every_kind;

on_every_kind! {
    what_was_stored_is_read_with_all_that_is_known
    filters_leave_what_was_asked_for
    more_messages_than_a_page_are_read_each_once_and_in_order
    the_messages_of_one_datagram_are_read_each_with_its_own
    reading_stops_when_it_is_told_to
    it_is_read_while_a_recorder_writes
    everything_is_counted
    where_no_recorder_has_written_there_is_nothing_to_read
}

fn all(records: &mut Records, filter: Filter) -> Vec<Record> {
    let mut found = Vec::new();
    records
        .query(&filter, |record| {
            found.push(record);
            ControlFlow::Continue(())
        })
        .expect("it is read");
    found
}

fn seqs(records: &mut Records, filter: Filter) -> Vec<u64> {
    all(records, filter).iter().map(|record| record.subject.seq).collect()
}

fn open<F: Fixture>(fixture: &F) -> Records {
    Records::open(&fixture.database()).expect("it opens")
}

fn what_was_stored_is_read_with_all_that_is_known<F: Fixture>() {
    let fixture = F::new();
    let subject =
        Subject { publisher: u32::MAX, session: u64::MAX, stream: u16::MAX, seq: 9, part: u16::MAX };
    let first = Response { subject, received_ns: 50, ..response(1, 1, 9, b"\0yes") };
    let late = Response { subject, received_ns: 70, ..response(2, 1, 9, b"no") };
    let early = Response { subject, received_ns: 60, ..response(3, 1, 9, b"") };
    let same = Response { subject, received_ns: 80, ..response(4, 1, 9, b"\0yes") };
    write(&mut fixture.open(), &[first, late, early, same]);
    let divergence = |response: Response<'_>| Divergence {
        responder: response.responder,
        address: response.source.to_string(),
        result: response.result.to_vec(),
        recorded_ns: response.received_ns,
    };
    assert_eq!(
        all(&mut open(&fixture), Filter::default()),
        [Record {
            subject,
            result: b"\0yes".to_vec(),
            responder: Responder { publisher: 1001, session: 0x1b01 },
            address: "10.0.0.1:7000".into(),
            recorded_ns: 50,
            responses: 4,
            divergent: 2,
            divergences: vec![divergence(early), divergence(late)],
        }]
    );
}

fn filters_leave_what_was_asked_for<F: Fixture>() {
    let fixture = F::new();
    let one = response(1, 1, 1, b"a");
    let mut messages: Vec<Response> = Vec::new();
    for (seq, subject) in (1..).zip([
        one.subject,
        Subject { seq: 2, publisher: 6, ..one.subject },
        Subject { seq: 3, session: u64::MAX, ..one.subject },
        Subject { seq: 4, stream: 7, ..one.subject },
        Subject { seq: 5, ..one.subject },
    ]) {
        messages.push(Response { seq, subject, received_ns: 100 + seq, ..one });
    }
    messages.push(Response { subject: messages[4].subject, ..response(2, 1, 5, b"b") });
    write(&mut fixture.open(), &messages);
    let mut records = open(&fixture);
    let any = Filter::default();
    for (filter, expected) in [
        (any, &[1, 2, 3, 4, 5][..]),
        (Filter { publisher: Some(6), ..any }, &[2]),
        (Filter { session: Some(u64::MAX), ..any }, &[3]),
        (Filter { stream: Some(7), ..any }, &[4]),
        (Filter { since_ns: Some(104), ..any }, &[4, 5]),
        (Filter { until_ns: Some(102), ..any }, &[1]),
        (Filter { since_ns: Some(102), until_ns: Some(u64::MAX), ..any }, &[2, 3, 4, 5]),
        (Filter { divergent: true, ..any }, &[5]),
        (Filter { limit: Some(2), ..any }, &[1, 2]),
        (Filter { limit: Some(0), ..any }, &[]),
        (Filter { publisher: Some(5), stream: Some(3), since_ns: Some(102), limit: Some(1), ..any }, &[3]),
        (Filter { publisher: Some(1), ..any }, &[]),
        (Filter { until_ns: Some(0), ..any }, &[]),
    ] {
        assert_eq!(seqs(&mut records, filter), expected, "{filter:?}");
    }
}

fn more_messages_than_a_page_are_read_each_once_and_in_order<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    // Most of them at the same time, so that pages end among equals; with two streams in turn, and up to three messages in
    // a datagram.
    let all: Vec<Response> = (1..=1500)
        .map(|seq| {
            let one = response(1, seq, seq, b"x");
            let (datagram, part) = (seq / 6, (seq % 6 / 2) as u16);
            let subject = Subject { stream: (seq % 2) as u16, seq: datagram + 1, part, ..one.subject };
            Response { subject, received_ns: 1000 + seq / 700, ..one }
        })
        .collect();
    write(&mut store, &all);
    let mut expected: Vec<(u64, u16, u64, u16)> = all
        .iter()
        .map(|Response { received_ns, subject, .. }| {
            (*received_ns, subject.stream, subject.seq, subject.part)
        })
        .collect();
    // Streams have their order from their first message.
    expected.sort_by_key(|(time, stream, seq, part)| (*time, 1 - *stream, *seq, *part));
    let mut records = open(&fixture);
    let key = |Record { recorded_ns, subject, .. }: &Record| {
        (*recorded_ns, subject.stream, subject.seq, subject.part)
    };
    let found = self::all(&mut records, Filter::default());
    assert_eq!(found.iter().map(key).collect::<Vec<_>>(), expected);
    for limit in [255, 256, 257, 1500, 1501] {
        let found = self::all(&mut records, Filter { limit: Some(limit), ..Filter::default() });
        let expected: Vec<_> = expected.iter().take(usize::try_from(limit).expect("few")).copied().collect();
        assert_eq!(found.iter().map(key).collect::<Vec<_>>(), expected);
    }
}

fn the_messages_of_one_datagram_are_read_each_with_its_own<F: Fixture>() {
    let fixture = F::new();
    let all = [
        to_part(2, response(1, 1, 1, b"a")),
        to_part(2, response(2, 1, 1, b"b")),
        to_part(1, response(1, 2, 1, b"c")),
        response(1, 3, 1, b"d"),
        response(2, 3, 1, b"e"),
        response(3, 3, 1, b"f"),
    ];
    write(&mut fixture.open(), &all.map(|one| Response { received_ns: 5, ..one }));
    let found = self::all(&mut open(&fixture), Filter::default());
    let told = |record: &Record| {
        let others: Vec<_> = record.divergences.iter().map(|said| said.result.clone()).collect();
        (record.subject.part, record.result.clone(), record.responses, others.concat())
    };
    assert_eq!(
        found.iter().map(told).collect::<Vec<_>>(),
        [
            (0, b"d".to_vec(), 3, b"ef".to_vec()),
            (1, b"c".to_vec(), 1, vec![]),
            (2, b"a".to_vec(), 2, b"b".to_vec()),
        ]
    );
}

fn reading_stops_when_it_is_told_to<F: Fixture>() {
    let fixture = F::new();
    let all: Vec<Response> = (1..=600).map(|seq| response(1, seq, seq, b"")).collect();
    write(&mut fixture.open(), &all);
    let mut seen = 0;
    let result = open(&fixture).query(&Filter::default(), |_| {
        seen += 1;
        if seen == 300 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((result, seen), (Ok(()), 300));
}

fn it_is_read_while_a_recorder_writes<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    write(&mut store, &[response(1, 1, 1, b"a")]);
    let mut records = open(&fixture);
    let mut seen = Vec::new();
    let result = records.query(&Filter::default(), |record| {
        seen.push(record.subject.seq);
        let more: Vec<Response> = (2..=400).map(|seq| response(1, seq, seq, b"b")).collect();
        write(&mut store, &more);
        ControlFlow::Continue(())
    });
    assert_eq!(result, Ok(()));
    assert_eq!(seen[0], 1);
    assert_eq!(seqs(&mut records, Filter::default()).len(), 400);
}

fn everything_is_counted<F: Fixture>() {
    let fixture = F::new();
    let mut store = fixture.open();
    let empty = open(&fixture).stats().expect("it is counted");
    assert_eq!(empty, Stats { bytes: empty.bytes, ..Stats::default() });
    let subject = Subject { publisher: 6, session: 1, stream: 1, seq: 1, part: 0 };
    let other = Response { subject, received_ns: 10, ..response(1, 2, 1, b"x") };
    write(&mut store, &[response(1, 1, 1, b"a"), response(2, 1, 1, b"b"), response(3, 1, 1, b"c"), other]);
    let stats = open(&fixture).stats().expect("it is counted");
    assert_eq!(
        stats,
        Stats {
            messages: 2,
            responses: 4,
            divergent_messages: 1,
            divergent_responses: 2,
            publishers: 2,
            streams: 2,
            responders: 3,
            first_ns: Some(10),
            last_ns: Some(1_000_001),
            bytes: stats.bytes,
        }
    );
    assert!(stats.bytes >= 4096);
}

fn where_no_recorder_has_written_there_is_nothing_to_read<F: Fixture>() {
    let fixture = F::new();
    let error = Records::open(&fixture.database()).err().expect("there is nothing");
    assert!(matches!(error, StoreError::Missing(_)), "{error}");
}

/// The names in a directory.
fn names(directory: &std::path::Path) -> Vec<String> {
    let entries = directory.read_dir().expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn reading_a_file_creates_none_and_changes_none() {
    let fixture = SqliteFile::new();
    assert!(Records::open(&fixture.database()).is_err());
    assert_eq!(names(fixture.directory.path()), Vec::<String>::new());
    write(&mut fixture.open(), &[response(1, 1, 1, b"a")]);
    let before = names(fixture.directory.path());
    assert_eq!(seqs(&mut open(&fixture), Filter::default()), [1]);
    assert_eq!(names(fixture.directory.path()), before);

    // A copy of the file alone, with a name that a URI would take apart.
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("what?mode=rw&a=%41#b.db");
    std::fs::copy(fixture.path(), &copy).expect("a copy");
    let database = headcast_recorder::Database::Sqlite(copy);
    assert_eq!(seqs(&mut Records::open(&database).expect("it opens"), Filter::default()), [1]);
    assert_eq!(names(directory.path()), ["what?mode=rw&a=%41#b.db"]);
}
