//! `headcast record`: stores the responses of subscribers.

use std::io::Write as _;

use headcast_recorder::{Database, Recorder};
use serde_json::{Value, json};

use crate::args::Record;
use crate::failure::Failure;
use crate::{report, signals};

/// Where PostgreSQL's own programs look for a password.
const PASSWORD: &str = "PGPASSWORD";

pub(crate) fn run(args: &Record) -> Result<(), Failure> {
    let signals = signals::catch()?;
    let mut builder = Recorder::builder(with_password(&args.database))
        .listen(args.listen)
        .keep_all(args.keep_all)
        .durability(args.durability.into())
        .commit(args.commit_rows, args.commit_bytes)
        .commit_wait(args.commit_wait)
        .receive_buffer(args.receive_buffer);
    if let Some(ready) = args.ready {
        builder = builder.ready(ready);
    }
    let memory = builder.memory();
    let mut recorder = builder.build()?;
    let stopper = recorder.stopper();
    signals.on_stop(move || stopper.stop())?;
    tracing::info!(
        listen = recorder.local_addr().map(tracing::field::display),
        ready = recorder.ready_addr().map(tracing::field::display),
        database = %args.database,
        memory,
        receive_buffer = recorder.receive_buffer().map(|buffer| buffer.granted),
        "listening"
    );

    let result = recorder.run();
    let totals = totals(&recorder);
    tracing::info!(%totals, "done");
    if args.json {
        writeln!(std::io::stdout(), "{totals}").map_err(Failure::about("standard output"))?;
    }
    result.map_err(Failure::new)
}

/// The database with the password of the environment, unless it has one.
pub(crate) fn with_password(database: &Database) -> Database {
    let database = database.clone();
    match std::env::var(PASSWORD) {
        Ok(password) if !database.has_password() => database.with_password(&password),
        _ => database,
    }
}

fn totals(recorder: &Recorder) -> Value {
    let mut totals = report::counters(recorder.counters().each());
    let refused = recorder.refusals().each().filter(|(_, count)| *count > 0);
    totals.insert("refused".into(), json!(report::counters(refused)));
    Value::Object(totals)
}
