//! The parts of `headcast-bench compare` that need a native library: ZeroMQ and Aeron.
//!
//! Speaks by lines with whoever started it, as `headcast_bench::load::part` describes.

#[cfg(feature = "aeron")]
mod aeron;
#[cfg(feature = "zeromq")]
mod zeromq;

#[cfg(not(any(feature = "aeron", feature = "zeromq")))]
compile_error!("without a system there is nothing to play: choose the features aeron, zeromq or both");

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use headcast_bench::load::part::Task;

const HELP: &str = "\
The parts of `headcast-bench compare` that need a native library. Not meant to be started by hand.

Usage: headcast-bench-rivals systems            what is built in, and its versions, as JSON
       headcast-bench-rivals publish TASK       the sender
       headcast-bench-rivals subscribe TASK     the receivers
       headcast-bench-rivals driver TASK        Aeron's media driver, until the standard input ends

TASK is JSON: `headcast_bench::load::part::Task`. The systems are zeromq, aeron and aeron-tuned.

Exit codes: 0 done, 1 failed, 2 wrong usage.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let part = match words.as_slice() {
        ["-h" | "--help"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["systems"] => {
            println!("{}", serde_json::json!(systems()));
            return ExitCode::SUCCESS;
        }
        [part @ ("publish" | "subscribe" | "driver"), task] => (*part, *task),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(part.0, part.1) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headcast-bench-rivals: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is built in, with the versions of the libraries.
fn systems() -> BTreeMap<&'static str, String> {
    let mut systems = BTreeMap::new();
    #[cfg(feature = "zeromq")]
    systems.insert("zeromq", zeromq::version());
    #[cfg(feature = "aeron")]
    for system in ["aeron", "aeron-tuned"] {
        systems.insert(system, aeron::version());
    }
    systems
}

fn run(part: &str, task: &str) -> io::Result<()> {
    let task: Task = serde_json::from_str(task)
        .map_err(|error| invalid(format!("the task is not the JSON of a task: {error}")))?;
    if task.receivers == 0 {
        return Err(invalid("a task with no receivers: at least one is needed".into()));
    }
    match (task.system.as_str(), part) {
        #[cfg(feature = "zeromq")]
        ("zeromq", "publish") => zeromq::publish(&task),
        #[cfg(feature = "zeromq")]
        ("zeromq", "subscribe") => zeromq::subscribe(&task),
        #[cfg(feature = "aeron")]
        ("aeron" | "aeron-tuned", "publish") => aeron::publish(&task),
        #[cfg(feature = "aeron")]
        ("aeron" | "aeron-tuned", "subscribe") => aeron::subscribe(&task),
        #[cfg(feature = "aeron")]
        ("aeron" | "aeron-tuned", "driver") => aeron::drive(&task),
        (system, part) => {
            let known: Vec<&str> = systems().into_keys().collect();
            Err(invalid(format!("no {part} for '{system}': this program has {}", known.join(", "))))
        }
    }
}

/// What was asked for cannot be done.
fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
