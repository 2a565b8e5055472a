//! Many responders to the same messages: one row for each message, however many answer.

use std::net::SocketAddr;

use headcast::peers::Source;
use headcast::{RespondError, Responder, Session, StreamId};

use crate::database::Site;
use crate::lies;
use crate::load::DRAIN;
use crate::process::{Recorder, count};
use crate::support::{is_full_size, on_each_database};

const RESPONDERS: u32 = 100;
const QUEUE: usize = 4096;
const MEMORY_MAX: u64 = 200 << 20;
const SUBJECT: StreamId =
    StreamId { publisher: 9, session: Session::new(1_750_000_000_000, 1), stream: lies::STREAM };

on_each_database! { a_hundred_responders_make_one_row_a_message }

/// With HEADCAST_TEST_FULL=1 of ten million responses.
fn a_hundred_responders_make_one_row_a_message<S: Site>() {
    let messages = if is_full_size() { 100_000 } else { 5_000 };
    let site = S::new();
    let mut recorder = Recorder::start(&site.url(), &[]);
    recorder.until_ready();
    let responders: Vec<Responder> = (0..RESPONDERS).map(|n| responder(n, recorder.address())).collect();
    lies::answer_all(RESPONDERS, messages, |of, seq, result| {
        match responders[of as usize].respond_to(SUBJECT, seq, 0, result) {
            Ok(()) => true,
            Err(RespondError::Full) => false,
            Err(error) => panic!("{error}"),
        }
    });
    for responder in &responders {
        assert_eq!(responder.close(DRAIN), 0, "left of {}", responder.id());
    }

    let memory = recorder.memory_max();
    assert!(memory < MEMORY_MAX, "{memory} bytes of memory");
    let tables = site.tables();
    let divergent = lies::check(&tables, RESPONDERS, messages);
    assert_eq!(tables.divergences.len() as u64, divergent);
    assert!(tables.responses.is_empty(), "not asked for");
    assert_eq!(tables.responders.len(), responders.len());
    assert!(tables.responders.values().all(|next| *next == messages + 1));
    let totals = recorder.terminate().totals();
    assert_eq!(count(&totals, "stored"), u64::from(RESPONDERS) * messages, "{totals}");
    assert_eq!(count(&totals, "rows"), messages, "{totals}");
    assert_eq!(count(&totals, "divergent"), divergent, "{totals}");
    println!("{} MiB of memory; {totals}", memory >> 20);
}

fn responder(n: u32, recorder: SocketAddr) -> Responder {
    let source = Source::Static([recorder].into_iter().collect());
    Responder::builder().source(source).responder_id(100 + n).queue(QUEUE).build().expect("a responder")
}
