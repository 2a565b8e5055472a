//! A media driver as a process of its own, as `aeronmd` is one.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use headcast_bench::load::part::{Ready, Task};
use rusteron_media_driver::{AeronDriver, AeronDriverContext};

use super::settings::Settings;
use super::{Side, c_string, failed};
use crate::invalid;

/// What the driver keeps beside the logs.
const BESIDE: u64 = 64 << 20;

/// Runs a driver until the standard input ends.
pub(crate) fn drive(task: &Task) -> io::Result<()> {
    let side = match task.options.get("side").map(String::as_str) {
        Some("sender") => Side::Sender,
        Some("receivers") => Side::Receivers,
        other => {
            let other = other.unwrap_or("");
            return Err(invalid(format!(
                "the side of a driver is sender or receivers, not '{other}' (option side)"
            )));
        }
    };
    let settings = Settings::of(task)?;
    check_room(task, side, &settings)?;
    if settings.is_tuned() {
        // Its sleeps end when they should, on all of its threads; by default one ends up to 50 us later.
        let _ = nix::sys::prctl::set_timerslack(1);
    }
    let context = AeronDriverContext::new().map_err(|error| failed("the media driver", &error))?;
    let directory = c_string(side.directory(task).display().to_string())?;
    let set = || {
        context.set_dir(&directory)?;
        context.set_dir_delete_on_start(true)?;
        context.set_dir_delete_on_shutdown(true)
    };
    set().map_err(|error| failed("the media driver", &error))?;
    settings.apply(&context)?;
    let driver = AeronDriver::new(&context).map_err(|error| failed("the media driver", &error))?;
    driver.start(true).map_err(|error| failed("the media driver", &error))?;
    let ended = end_with_input()?;
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &Ready { ready: Vec::new() })?;
    out.write_all(b"\n")?;
    out.flush()?;
    while !ended.load(SeqCst) {
        driver.main_idle_strategy(driver.main_do_work().map_err(|error| failed("the media driver", &error))?);
    }
    Ok(())
}

/// Set once nobody writes to the standard input any more.
fn end_with_input() -> io::Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    std::thread::Builder::new().name("input".into()).spawn(move || {
        let mut input = io::stdin().lock();
        while matches!(input.read(&mut [0; 64]), Ok(1..)) {}
        end.store(true, SeqCst);
    })?;
    Ok(ended)
}

/// Logs are files in memory that are filled bit by bit: one that finds no room then ends the process with a signal.
fn check_room(task: &Task, side: Side, settings: &Settings) -> io::Result<()> {
    let logs = match side {
        Side::Sender => 1,
        Side::Receivers => task.receivers,
    };
    let needed = (settings.log() as u64).saturating_mul(logs as u64).saturating_add(BESIDE);
    let free = room(&task.directory)?;
    if free >= needed {
        return Ok(());
    }
    let mib = |bytes: u64| bytes >> 20;
    Err(io::Error::other(format!(
        "aeron needs {} MiB for {logs} logs, and {} has {} MiB",
        mib(needed),
        task.directory.display(),
        mib(free)
    )))
}

/// Bytes that a file system has left.
fn room(directory: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(directory).map_err(|errno| {
        io::Error::new(io::Error::from(errno).kind(), format!("{}: {errno}", directory.display()))
    })?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}
