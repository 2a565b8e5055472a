//! Log lines on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::LevelFilter;

use crate::args::{LogFormat, Logging};

/// Starts logging; a command that draws on the terminal leaves out what only informs.
pub(crate) fn start(args: &Logging, draws: bool) {
    let level = match args.log_level.into() {
        LevelFilter::INFO if draws => LevelFilter::WARN,
        level => level,
    };
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_target(false)
        // Whoever read the log may be gone. That would be said on standard error too, and end the thread that says it.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match args.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
