//! System calls of everything that a trial starts, counted by the kernel.

use std::fs;

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};

/// Where tracefs is, as it is mounted by itself and as it was before (`Documentation/trace/ftrace.rst`).
const TRACING: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The system calls of the calling thread and of everything that it starts from now on.
pub(super) struct Calls(Counter);

impl Calls {
    /// Counts nothing yet.
    ///
    /// # Errors
    /// Says why they cannot be counted, and what would help.
    pub(super) fn attach() -> Result<Self, String> {
        let id = TRACING.iter().find_map(|root| {
            fs::read_to_string(format!("{root}/events/raw_syscalls/sys_enter/id")).ok()?.trim().parse().ok()
        });
        let id = id.ok_or(
            "system calls are not counted: that needs root, and tracefs (mount -t tracefs tracefs /sys/kernel/tracing)",
        )?;
        let counter = Builder::new(Tracepoint::with_id(id)).include_kernel().inherit(true).build();
        counter.map(Self).map_err(|error| {
            format!("system calls are not counted: the kernel refuses it ({error}); root may, or kernel.perf_event_paranoid=-1 allows it")
        })
    }

    /// From now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn start(&mut self) -> Result<(), String> {
        self.0.enable().map_err(|error| format!("system calls cannot be counted: {error}"))
    }

    /// How many there were.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn stop(&mut self) -> Result<u64, String> {
        let count = self.0.disable().and_then(|()| self.0.read());
        count.map_err(|error| format!("system calls cannot be counted: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn calls_of_what_is_started_are_counted() {
        let mut calls = match Calls::attach() {
            Ok(calls) => calls,
            Err(why) => {
                eprintln!("NOT RUN: {why}");
                return;
            }
        };
        calls.start().expect("started");
        let idle = calls.stop().expect("counted");
        calls.start().expect("started");
        let ended = Command::new("sh").args(["-c", "for i in 1 2 3 4 5 6 7 8 9 10; do cd /; done"]).status();
        let busy = calls.stop().expect("counted") - idle;
        assert!(ended.expect("it ran").success());
        assert!(busy > idle + 20, "{idle} without it, {busy} with it");
    }
}
