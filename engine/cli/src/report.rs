//! What happened, as one JSON object or one log line.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use headcast::peers::Stop;
use headcast::{Failure, Monitor, Publisher};
use serde_json::{Map, Value, json};

/// How often failing peers are looked for.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The totals of a publisher; the counters as they are named in the library.
pub(crate) fn totals(publisher: &Publisher, elapsed: Duration, unsent: usize) -> Value {
    let monitor = publisher.monitor();
    let status = monitor.status();
    let (newest, oldest) = publisher.dropped_by_handles();
    let mut totals = counters(monitor.counters().each());
    totals.extend([
        ("publisher".to_owned(), json!(publisher.id())),
        ("session".to_owned(), json!(publisher.session().to_string())),
        ("mode".to_owned(), json!(publisher.mode().to_string())),
        ("peers".to_owned(), json!(status.peers.len())),
        ("peers_over_limit".to_owned(), json!(status.over_limit)),
        ("xdp_peers".to_owned(), json!(status.frames.map_or(0, |frames| frames.peers))),
        ("unsent".to_owned(), json!(unsent)),
        ("queue_dropped_newest".to_owned(), json!(newest)),
        ("queue_dropped_oldest".to_owned(), json!(oldest)),
        ("lookups".to_owned(), json!(status.lookups.0)),
        ("lookups_failed".to_owned(), json!(status.lookups.1)),
        ("peers_age_seconds".to_owned(), json!(status.age.map(|age| age.as_secs_f64()))),
        ("seconds".to_owned(), json!(elapsed.as_secs_f64())),
        ("failures".to_owned(), status.failures.iter().map(failure).collect()),
    ]);
    Value::Object(totals)
}

/// Counters as the members of an object.
pub(crate) fn counters(each: impl Iterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    each.map(|(name, count)| (name.to_owned(), json!(count))).collect()
}

fn failure(failure: &Failure) -> Value {
    json!({
        "peer": failure.peer.to_string(),
        "rejected": failure.rejected,
        "error": failure.errno.to_string(),
        "quarantined": failure.quarantined,
    })
}

/// Logs each peer that goes into quarantine, from a thread of its own, until stopped.
pub(crate) fn watch_failures(monitor: Monitor, stop: Stop) -> std::io::Result<()> {
    std::thread::Builder::new().name("headcast-watch".into()).spawn(move || {
        let mut known = BTreeSet::new();
        while !stop.wait(WATCH_EVERY) {
            let failures = monitor.failures();
            for failure in &failures {
                if failure.quarantined && !known.contains(&failure.peer) {
                    tracing::warn!(
                        peer = %failure.peer,
                        error = failure.errno.desc(),
                        rejected = failure.rejected,
                        "the kernel refuses to send to this peer; it is left out for now"
                    );
                }
            }
            known =
                failures.iter().filter(|failure| failure.quarantined).map(|failure| failure.peer).collect();
        }
    })?;
    Ok(())
}

/// The time, for reports.
#[expect(clippy::disallowed_methods, reason = "the programs are an edge where time is read")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
