//! `headcast resolve`: who would receive.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use headcast::peers::{Limits, Outcome, Report, Stop, Watcher};
use serde_json::{Value, json};

use crate::args::Resolve;
use crate::failure::Failure;
use crate::{report, signals, target};

pub(crate) fn run(args: &Resolve) -> Result<(), Failure> {
    let source = target::source(&args.name, args.srv, args.dns_server)?;
    let mut watcher = Watcher::new(source, Limits::default()).map_err(Failure::new)?;
    let stop = Stop::new();
    let at_signal = stop.clone();
    signals::catch()?.on_stop(move || at_signal.stop())?;

    let mut said = None;
    loop {
        let report = watcher.refresh(report::now(), &stop);
        if stop.is_stopped() {
            return Ok(());
        }
        if !args.watch && watcher.peers().is_empty() {
            return Err(Failure::new(report.outcome));
        }
        let trouble = (!matches!(report.outcome, Outcome::Fresh | Outcome::Unchanged))
            .then(|| report.outcome.to_string());
        if report.changed || said.as_ref() != Some(&trouble) {
            let printed = if args.json {
                print_json(&watcher, &report, trouble.as_deref())
            } else {
                print_text(&watcher, &report, trouble.as_deref())
            };
            match printed {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                printed => printed.map_err(Failure::about("standard output"))?,
            }
            said = Some(trouble);
        }
        if !args.watch || stop.wait(report.next) {
            return Ok(());
        }
    }
}

fn print_text(watcher: &Watcher, report: &Report, trouble: Option<&str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for peer in &report.removed {
        writeln!(out, "- {peer}")?;
    }
    for peer in &report.added {
        writeln!(out, "+ {peer}")?;
    }
    let peers = watcher.peers().len();
    write!(out, "= {peers} {}", if peers == 1 { "peer" } else { "peers" })?;
    if let Some(ttl) = report.ttl {
        write!(out, ", TTL {} s", ttl.as_secs())?;
    }
    match trouble {
        Some(trouble) => writeln!(out, "; {trouble}"),
        None => writeln!(out),
    }
}

fn print_json(watcher: &Watcher, report: &Report, trouble: Option<&str>) -> io::Result<()> {
    let addresses = |peers: &[SocketAddr]| -> Value { peers.iter().map(ToString::to_string).collect() };
    let value = json!({
        "peers": addresses(watcher.peers().as_slice()),
        "added": addresses(&report.added),
        "removed": addresses(&report.removed),
        "ttl_seconds": report.ttl.as_ref().map(Duration::as_secs),
        "over_limit": report.over_limit,
        "trouble": trouble,
    });
    writeln!(io::stdout(), "{value}")
}
