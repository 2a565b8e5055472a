//! Processes that take part in a trial, and what they say.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde::de::DeserializeOwned;

/// Bytes of what a process said at its end that are told when it fails.
const LAST_WORDS: usize = 400;
/// How long a process that closed its output may take to end, until it counts as one that still runs.
const END: Duration = Duration::from_millis(200);

/// A process that is killed when it is not needed any more.
pub(super) struct Process {
    name: String,
    child: Child,
    lines: mpsc::Receiver<String>,
    /// What it says on standard error.
    errors: PathBuf,
}

impl Process {
    /// Starts it; its standard error goes to a file in `directory`.
    ///
    /// # Errors
    /// Says which program could not be started, and why.
    pub(super) fn start(name: &str, command: &mut Command, directory: &Path) -> Result<Self, String> {
        let errors = directory.join(format!("{name}.err"));
        let log = File::create(&errors)
            .map_err(|error| format!("{name}: {} cannot be written: {error}", errors.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy().into_owned();
            format!("{name}: {program} cannot be started: {error}")
        })?;
        let output = child.stdout.take();
        let (say, lines) = mpsc::channel();
        let listen = move || {
            for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
                let Ok(line) = line else { return };
                if say.send(line).is_err() {
                    return;
                }
            }
        };
        let mut process = Self { name: name.to_owned(), child, lines, errors };
        let listening = std::thread::Builder::new().name("lines".into()).spawn(listen);
        if let Err(error) = listening {
            process.kill();
            return Err(format!("{name}: no thread for what it says: {error}"));
        }
        Ok(process)
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints, as JSON; waited for as long as `wait`.
    ///
    /// # Errors
    /// When none comes, or it is something else; with the process's last words.
    pub(super) fn hear<T: DeserializeOwned>(&mut self, what: &str, wait: Duration) -> Result<T, String> {
        let line = match self.lines.recv_timeout(wait) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                let words = self.last_words();
                return Err(format!("{}: no {what} within {wait:?}{words}", self.name));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(self.failure(what)),
        };
        serde_json::from_str(&line).map_err(|error| {
            let line: String = line.chars().take(200).collect();
            format!("{}: '{line}' is no {what}: {error}", self.name)
        })
    }

    /// Tells it something.
    ///
    /// # Errors
    /// When it has ended; with its last words.
    pub(super) fn tell(&mut self, line: &str) -> Result<(), String> {
        let Some(input) = &mut self.child.stdin else {
            return Err(format!("{}: it hears nothing any more", self.name));
        };
        let told = writeln!(input, "{line}").and_then(|()| input.flush());
        told.map_err(|_| self.failure("ear"))
    }

    /// Waits until it has written `text` to its standard error.
    ///
    /// # Errors
    /// When it has not after `wait`, or has ended; with its last words.
    pub(super) fn logs(&mut self, text: &str, wait: Duration) -> Result<(), String> {
        let deadline = crate::clock::now() + wait;
        loop {
            if fs::read_to_string(&self.errors).is_ok_and(|log| log.contains(text)) {
                return Ok(());
            }
            if self.has_ended() {
                return Err(self.failure(text));
            }
            if crate::clock::now() >= deadline {
                return Err(format!("{}: no '{text}' within {wait:?}{}", self.name, self.last_words()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Closes its input and gives it a moment to end by itself.
    pub(super) fn end(mut self) {
        drop(self.child.stdin.take());
        self.wait(END);
    }

    fn wait(&mut self, at_most: Duration) {
        let deadline = crate::clock::now() + at_most;
        while !self.has_ended() && crate::clock::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn failure(&mut self, what: &str) -> String {
        self.wait(END);
        let status = match self.child.try_wait() {
            Ok(Some(status)) => format!("it ended ({status})"),
            _ => "it said no more".to_owned(),
        };
        format!("{}: no {what}: {status}{}", self.name, self.last_words())
    }

    /// What it said at the end on its standard error, with a colon before it; nothing if it said nothing.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.errors).unwrap_or_default();
        let log = log.trim();
        if log.is_empty() {
            return String::new();
        }
        let from = log.char_indices().rev().map(|(at, _)| at).take(LAST_WORDS).last().unwrap_or(0);
        format!(": {}", log[from..].replace('\n', " | "))
    }

    fn kill(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Process) {
        let directory = tempfile::tempdir().expect("a directory");
        let process = Process::start("sh", Command::new("sh").args(["-c", script]), directory.path());
        (directory, process.expect("started"))
    }

    #[test]
    fn a_process_is_told_and_heard() {
        let (_directory, mut process) = shell("read line; echo \"[\\\"$line\\\"]\"");
        process.tell("start").expect("told");
        let heard: Value = process.hear("answer", Duration::from_secs(5)).expect("heard");
        assert_eq!(heard, serde_json::json!(["start"]));
    }

    #[test]
    fn what_a_process_says_at_its_end_is_told() {
        let (_directory, mut process) = shell("echo first >&2; echo why it failed >&2; exit 3");
        let error = process.hear::<Value>("answer", Duration::from_secs(5)).expect_err("it ended");
        assert!(error.contains("exit status: 3") && error.contains("why it failed"), "{error}");
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let (_directory, mut process) = shell("exec sleep 60");
        let error = process.hear::<Value>("answer", Duration::from_millis(20)).expect_err("silence");
        assert!(error.contains("no answer within 20ms"), "{error}");
        let error = process.logs("ready", Duration::from_millis(20)).expect_err("silence");
        assert!(error.contains("no 'ready' within 20ms"), "{error}");
        let pid = process.pid();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it is gone");
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = Process::start("none", &mut Command::new("no-such-program"), directory.path());
        let error = error.err().expect("it is missing");
        assert!(error.contains("no-such-program"), "{error}");
    }
}
