//! `headcast records`: what a recorder has stored.

mod print;

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use headcast_recorder::records::{Filter, Records as Reader, Stats};
use serde_json::json;

use crate::args::{Moment, Records};
use crate::failure::Failure;
use crate::record::with_password;
use print::{Printer, time};

pub(crate) fn run(args: &Records) -> Result<(), Failure> {
    let mut reader = Reader::open(&with_password(&args.database)).map_err(Failure::new)?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    if args.stats {
        let stats = reader.stats().map_err(Failure::new)?;
        return printed(print_stats(&stats, args.json, &mut out).and_then(|()| out.flush()));
    }
    let now = now();
    let filter = Filter {
        publisher: args.publisher,
        session: args.session,
        stream: args.stream,
        since_ns: args.since.map(|since| unix_ns(since, now)),
        until_ns: args.until.map(|until| unix_ns(until, now)),
        divergent: args.divergent,
        limit: args.limit,
    };
    let mut printer = Printer::new(args.json, args.csv, out);
    let mut result = printer.begin();
    if result.is_ok() {
        let read = reader.query(&filter, |record| {
            result = printer.print(&record);
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        // What was read is shown, also when the rest could not be.
        result = result.and_then(|()| printer.end());
        read.map_err(Failure::new)?;
    }
    printed(result)
}

/// Whoever read our output may have seen enough.
fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Failure::about("standard output")),
    }
}

fn print_stats(stats: &Stats, as_json: bool, out: &mut impl Write) -> io::Result<()> {
    let Stats {
        messages,
        responses,
        divergent_messages,
        divergent_responses,
        publishers,
        streams,
        responders,
        first_ns,
        last_ns,
        bytes,
    } = *stats;
    let (first, last) = (first_ns.map(time), last_ns.map(time));
    if as_json {
        let value = json!({
            "messages": messages,
            "responses": responses,
            "divergent_messages": divergent_messages,
            "divergent_responses": divergent_responses,
            "publishers": publishers,
            "streams": streams,
            "responders": responders,
            "first": first,
            "last": last,
            "bytes": bytes,
        });
        return writeln!(out, "{value}");
    }
    let never = || "-".to_owned();
    for (name, value) in [
        ("messages", messages.to_string()),
        ("responses", responses.to_string()),
        ("divergent messages", divergent_messages.to_string()),
        ("divergent responses", divergent_responses.to_string()),
        ("publishers", publishers.to_string()),
        ("streams", streams.to_string()),
        ("responders", responders.to_string()),
        ("first recorded", first.unwrap_or_else(never)),
        ("last recorded", last.unwrap_or_else(never)),
        ("bytes", bytes.to_string()),
    ] {
        writeln!(out, "{name:<20} {value}")?;
    }
    Ok(())
}

/// Nanoseconds since the Unix epoch; what lies before is the epoch.
fn unix_ns(moment: Moment, now: SystemTime) -> u64 {
    let at = match moment {
        Moment::At(at) => at,
        Moment::Ago(ago) => now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH),
    };
    let since: Duration = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the programs are an edge where time is read")]
fn now() -> SystemTime {
    SystemTime::now()
}
