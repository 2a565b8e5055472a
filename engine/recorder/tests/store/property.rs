//! Whatever comes, in whatever order, how often so ever: the tables are what a plain model says.

use std::collections::{BTreeMap, BTreeSet};

use headcast_proto::stored::SPAN;
use headcast_recorder::{Durability, Options, Responder, Response, Subject, Tally};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Cell, Dump, Fixture, POISON, PostgresDatabase, SqliteFile, batch, response};

/// What the test does.
#[derive(Clone, Debug)]
enum Step {
    /// Writes a batch.
    Write(Vec<Said>),
    /// Writes a batch that fails with its last row.
    Fail(Vec<Said>),
    /// Loses everything that is not in the database.
    Reopen,
}

/// A response, in small numbers.
#[derive(Clone, Copy, Debug)]
struct Said {
    responder: u32,
    seq: u64,
    held_from: u64,
    stream: u16,
    message: u64,
    part: u16,
    result: u8,
}

fn said() -> impl Strategy<Value = Said> {
    let seq = prop_oneof![8 => 1..12u64, 4 => 1..90u64, 1 => SPAN - 2..SPAN + 40];
    let held_from = prop_oneof![12 => Just(0u64), 1 => 0..60u64];
    let result = prop_oneof![6 => Just(0u8), 1 => 1..4u8];
    let part = prop_oneof![4 => 0..3u16, 1 => Just(u16::MAX)];
    (0..5u32, seq, held_from, 0..2u16, 1..8u64, part, result).prop_map(
        |(responder, seq, held_from, stream, message, part, result)| Said {
            responder,
            seq,
            held_from,
            stream,
            message,
            part,
            result,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let batch = || proptest::collection::vec(said(), 0..30);
    let step = prop_oneof![6 => batch().prop_map(Step::Write), 1 => batch().prop_map(Step::Fail), 2 => Just(Step::Reopen)];
    proptest::collection::vec(step, 1..12)
}

impl Said {
    fn response(self, received_ns: u64) -> Response<'static> {
        const RESULTS: [&[u8]; 4] = [b"yes", b"", b"\0", b"yes\0"];
        let one = response(self.responder, self.seq, self.message, RESULTS[usize::from(self.result)]);
        let subject = Subject { stream: self.stream, part: self.part, ..one.subject };
        Response { held_from: self.held_from, received_ns, subject, ..one }
    }
}

/// Publisher, session, stream, sequence and part.
type MessageKey = (u32, u64, u16, u64, u16);

/// What the tables have to be, slow and plain.
#[derive(Default)]
struct Model {
    keep_all: bool,
    responders: BTreeMap<(u32, u64), Window>,
    messages: BTreeMap<MessageKey, Message>,
    divergences: Vec<Vec<Cell>>,
    responses: Vec<Vec<Cell>>,
}

#[derive(Clone, Default)]
struct Window {
    /// Everything below counts as stored.
    floor: u64,
    beyond: BTreeSet<u64>,
    address: String,
    heard_ns: u64,
}

struct Message {
    result: Vec<u8>,
    responder: Responder,
    recorded_ns: u64,
    responses: i64,
    divergent: i64,
}

impl Window {
    fn holds(&self, seq: u64) -> bool {
        seq < self.floor || self.beyond.contains(&seq)
    }

    fn next(&self) -> u64 {
        (self.floor..).find(|seq| !self.holds(*seq)).expect("there are enough")
    }

    fn bitmap(&self) -> Vec<u8> {
        let next = self.next();
        let mut bytes = Vec::new();
        for seq in self.beyond.iter().filter(|seq| **seq > next) {
            let bit = usize::try_from(seq - next - 1).expect("it is near");
            bytes.resize(bytes.len().max(bit / 8 + 1), 0);
            bytes[bit / 8] |= 1 << (bit % 8);
        }
        bytes
    }

    fn ack(&self) -> (u64, u64) {
        let bits = (0..64).filter(|bit| self.holds(self.next() + 1 + bit));
        (self.next(), bits.fold(0, |all, bit| all | 1 << bit))
    }
}

impl Model {
    fn write(&mut self, all: &[Response<'_>]) -> Tally {
        let mut tally = Tally::default();
        let mut windows: BTreeMap<_, Window> = BTreeMap::new();
        let mut advanced = BTreeSet::new();
        for one in all {
            let key = (one.responder.publisher, one.responder.session);
            let begin = one.held_from.min(one.seq).max(1);
            let known = self.responders.get(&key);
            let begun = || known.cloned().unwrap_or(Window { floor: 1, ..Window::default() });
            let mut window = windows.remove(&key).unwrap_or_else(begun);
            if known.is_some() && begin > window.next() {
                advanced.insert(key);
            }
            tally.skipped += (window.next()..begin).filter(|seq| !window.holds(*seq)).count() as u64;
            window.floor = window.floor.max(begin);
            if window.holds(one.seq) {
                tally.duplicates += 1;
            } else if one.seq >= window.next() + SPAN {
                tally.ahead += 1;
            } else {
                window.beyond.insert(one.seq);
                tally.stored += 1;
                tally.bytes += one.result.len() as u64;
                self.record(one, &mut tally);
                advanced.insert(key);
            }
            window.address = one.source.to_string();
            window.heard_ns = one.received_ns;
            windows.insert(key, window);
        }
        // Of the others nothing has changed but that they were heard, which is not worth a write.
        self.responders.extend(windows.into_iter().filter(|(key, _)| advanced.contains(key)));
        tally
    }

    fn record(&mut self, one: &Response<'_>, tally: &mut Tally) {
        let Subject { publisher, session, stream, seq, part } = one.subject;
        let message = self.messages.entry((publisher, session, stream, seq, part)).or_insert_with(|| {
            tally.rows += 1;
            Message {
                result: one.result.to_vec(),
                responder: one.responder,
                recorded_ns: one.received_ns,
                responses: 0,
                divergent: 0,
            }
        });
        message.responses += 1;
        let mut row = key(one.subject, one.responder);
        row.extend([integer(one.seq), Cell::Bytes(one.result.to_vec()), integer(one.received_ns)]);
        if one.result != message.result {
            message.divergent += 1;
            tally.divergent += 1;
            self.divergences.push(row.clone());
        }
        if self.keep_all {
            self.responses.push(row);
        }
    }

    fn dump(&self) -> Dump {
        let responder = |((publisher, session), window): (&(u32, u64), &Window)| {
            vec![
                integer(u64::from(*publisher)),
                integer(*session),
                integer(window.next()),
                Cell::Bytes(window.bitmap()),
                Cell::Text(window.address.clone()),
                integer(window.heard_ns),
            ]
        };
        let message = |(&(publisher, session, stream, seq, part), message): (&MessageKey, &Message)| {
            let mut row = key(Subject { publisher, session, stream, seq, part }, message.responder);
            row.extend([Cell::Bytes(message.result.clone()), integer(message.recorded_ns)]);
            row.extend([Cell::Integer(message.responses), Cell::Integer(message.divergent)]);
            row
        };
        let sorted = |mut rows: Vec<Vec<Cell>>| {
            rows.sort();
            rows
        };
        let streams: BTreeSet<_> = self
            .messages
            .keys()
            .map(|(publisher, session, stream, ..)| (publisher, session, stream))
            .collect();
        let counts = [
            streams.len(),
            self.responders.len(),
            self.messages.len(),
            self.divergences.len(),
            self.responses.len(),
        ];
        Dump {
            responders: sorted(self.responders.iter().map(responder).collect()),
            messages: sorted(self.messages.iter().map(message).collect()),
            divergences: sorted(self.divergences.clone()),
            responses: sorted(self.responses.clone()),
            counts: counts.map(|count| i64::try_from(count).expect("few")),
        }
    }
}

fn integer(value: u64) -> Cell {
    Cell::Integer(value.cast_signed())
}

fn key(subject: Subject, responder: Responder) -> Vec<Cell> {
    vec![
        integer(subject.publisher.into()),
        integer(subject.session),
        integer(subject.stream.into()),
        integer(subject.seq),
        integer(subject.part.into()),
        integer(responder.publisher.into()),
        integer(responder.session),
    ]
}

fn check<F: Fixture>(options: Options, steps: &[Step]) -> Result<(), TestCaseError> {
    let fixture = F::new();
    let mut model = Model { keep_all: options.keep_all, ..Model::default() };
    let mut store = Some(fixture.open_with(options));
    fixture.poison();
    let mut time = 0;
    let mut receipts = Vec::new();
    for step in steps {
        match step {
            Step::Write(all) | Step::Fail(all) => {
                let mut all: Vec<Response> = all
                    .iter()
                    .map(|said| {
                        time += 1;
                        said.response(time)
                    })
                    .collect();
                let store = store.as_mut().expect("it is open");
                if matches!(step, Step::Fail(_)) {
                    // Of a responder that nobody else is, and about a message of its own: it comes to the table.
                    all.push(response(99, 1, 99, POISON));
                    let error = store.write(&batch(&all), &mut receipts).expect_err("poison");
                    prop_assert!(error.to_string().contains("poison"), "{}", error);
                    prop_assert!(receipts.is_empty());
                } else {
                    let tally = store.write(&batch(&all), &mut receipts).expect("it is written");
                    prop_assert_eq!(tally, model.write(&all));
                    check_receipts(&model, &all, &receipts)?;
                }
            }
            Step::Reopen => {
                drop(store.take());
                store = Some(fixture.open_with(options));
            }
        }
    }
    prop_assert_eq!(fixture.dump(), model.dump());
    Ok(())
}

fn check_receipts(
    model: &Model,
    all: &[Response<'_>],
    receipts: &[headcast_recorder::Receipt],
) -> Result<(), TestCaseError> {
    let key = |responder: Responder| (responder.publisher, responder.session);
    let known: BTreeSet<_> =
        all.iter().map(|one| key(one.responder)).filter(|key| model.responders.contains_key(key)).collect();
    let told: BTreeSet<_> = receipts.iter().map(|receipt| key(receipt.responder)).collect();
    prop_assert_eq!(told.len(), receipts.len());
    prop_assert_eq!(told, known);
    for receipt in receipts {
        let ack = model.responders[&key(receipt.responder)].ack();
        prop_assert_eq!((receipt.next, receipt.bitmap), ack);
    }
    Ok(())
}

fn run<F: Fixture>(cases: u32) {
    let options = (any::<bool>(), any::<bool>()).prop_map(|(keep_all, power)| Options {
        keep_all,
        durability: if power { Durability::Power } else { Durability::Process },
    });
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&(options, steps()), |(options, steps)| check::<F>(options, &steps));
    if let Err(error) = result {
        panic!("{error}\n{runner}");
    }
}

#[test]
fn a_file_is_what_the_model_is() {
    run::<SqliteFile>(64);
}

#[test]
fn a_server_is_what_the_model_is() {
    run::<PostgresDatabase>(24);
}
