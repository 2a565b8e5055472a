//! How the program fails: one line, and an exit code that says whose fault it is.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use headcast::BuildError;

/// One line for the person, and whether another command line would help.
#[derive(Debug)]
pub(crate) struct Failure {
    line: String,
    usage: bool,
}

impl Failure {
    /// Something did not work.
    pub(crate) fn new(what: impl Display) -> Self {
        Self { line: what.to_string(), usage: false }
    }

    /// The command line is wrong.
    pub(crate) fn usage(what: impl Display) -> Self {
        Self { line: what.to_string(), usage: true }
    }

    /// Something about `subject` did not work.
    pub(crate) fn about(subject: impl Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::new(format!("{subject}: {error}"))
    }

    /// Says it on standard error: 1 for a failure, 2 for a wrong command line.
    pub(crate) fn report(self) -> ExitCode {
        // Nobody may be listening any more; the exit code says it as well.
        let _ = writeln!(std::io::stderr(), "error: {}", self.line);
        ExitCode::from(if self.usage { 2 } else { 1 })
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let usage = matches!(error, BuildError::Setting(_) | BuildError::Target(_));
        Self { line: error.to_string(), usage }
    }
}
