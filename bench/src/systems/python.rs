//! A plain loop of `sendto` in Python, over the addresses behind a name.

use std::process::Command;

use serde::Deserialize;

use crate::load::part::{Sent, Task};
use crate::load::{Latencies, Paced};

/// The program. It needs nothing but Python's own library.
const PROGRAM: &str = include_str!("python/sendto.py");
/// The interpreter.
pub const INTERPRETER: &str = "python3";

/// The option of a task that says by which name the receivers may be found.
pub const NAME: &str = "name";

/// Counted as 1 by a sender that found them so, as 0 by one that had to be told their addresses.
pub const BY_NAME: &str = "by_name";

/// What starts the sender.
///
/// # Errors
/// When the task cannot be told; says why.
pub fn command(task: &Task) -> Result<Command, String> {
    let task = serde_json::to_string(task).map_err(|error| format!("the task cannot be told: {error}"))?;
    let mut command = Command::new(INTERPRETER);
    command.args(["-c", PROGRAM, &task]);
    Ok(command)
}

/// What the program says at its end: times by themselves, where the others have histograms.
#[derive(Debug, Deserialize)]
pub struct Report {
    start_ns: u64,
    took_ns: u64,
    sent: u64,
    abandoned: u64,
    lag_ns: Vec<u64>,
    call_ns: Vec<u64>,
    own_lag_ns: Vec<u64>,
    cpu_s: f64,
    /// Whether it sent to what is behind the name, rather than to the addresses that it was given.
    pub by_name: bool,
}

impl From<Report> for Sent {
    fn from(report: Report) -> Self {
        let paced = Paced {
            start_ns: report.start_ns,
            took_ns: report.took_ns,
            sent: report.sent,
            refused: 0,
            abandoned: report.abandoned,
            lag: latencies(&report.lag_ns),
            call: latencies(&report.call_ns),
            own_lag: latencies(&report.own_lag_ns),
            series: Vec::new(),
        };
        let counters = [(BY_NAME.to_owned(), u64::from(report.by_name))].into();
        Self { paced, counters, cpu_s: report.cpu_s }
    }
}

fn latencies(times_ns: &[u64]) -> Latencies {
    let mut latencies = Latencies::new();
    times_ns.iter().for_each(|ns| latencies.record(*ns));
    latencies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_report_is_what_the_others_say() {
        let report: Report = serde_json::from_str(
            r#"{"start_ns": 5, "took_ns": 7, "sent": 2, "abandoned": 1, "lag_ns": [10, 20], "call_ns": [30, 40],
                "own_lag_ns": [1, 2], "cpu_s": 0.5, "by_name": true}"#,
        )
        .expect("a report");
        let sent = Sent::from(report);
        assert_eq!((sent.paced.sent, sent.paced.abandoned, sent.paced.start_ns), (2, 1, 5));
        assert_eq!(sent.paced.call.summary().max_ns, 40);
        assert_eq!((sent.paced.lag.count(), sent.paced.own_lag.count()), (2, 2));
        assert_eq!(sent.counters[BY_NAME], 1);
    }
}
