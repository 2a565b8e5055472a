//! Aeron: its C media driver, one for the sender and one for the receivers, each a process of its own, and its C client.
//!
//! Multi-destination-cast: one publication, and a destination by hand for each receiver, which is what it has where
//! there is no multicast. Four processes: two drivers, the sender, and the receivers with one subscription for each
//! address.

mod driver;
mod publisher;
mod settings;
mod subscriber;

use std::ffi::CString;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use headcast_bench::load::part::Task;
use rusteron_client::{Aeron, AeronCError, AeronContext};

pub(crate) use driver::drive;
pub(crate) use publisher::publish;
pub(crate) use subscriber::subscribe;

use crate::invalid;
use settings::Settings;

/// The one stream that there is.
const STREAM: i32 = 1;
/// For one answer of a driver.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes in front of each message in Aeron's frames.
const FRAME_HEADER: usize = 32;

/// Which of the two drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Sender,
    Receivers,
}

/// Of the library that is built in.
pub(crate) fn version() -> String {
    Aeron::version_full()
        .split_whitespace()
        .find_map(|word| word.strip_prefix("version="))
        .unwrap_or("unknown")
        .to_owned()
}

impl Side {
    /// Where its driver keeps its files.
    fn directory(self, task: &Task) -> PathBuf {
        task.directory.join(match self {
            Self::Sender => "aeron-sender",
            Self::Receivers => "aeron-receivers",
        })
    }

    /// A client of its driver.
    fn client(self, task: &Task) -> io::Result<Aeron> {
        let directory = self.directory(task);
        let context = AeronContext::new().map_err(|error| failed("a client", &error))?;
        let dir = c_string(directory.display().to_string())?;
        let refused = |error: AeronCError| failed("a setting of a client", &error);
        context.set_dir(&dir).map_err(refused)?;
        // Without it whatever goes wrong ends the process.
        context
            .set_error_handler(Some(|code: i32, text: &str| eprintln!("aeron: error {code}: {text}")))
            .map_err(refused)?;
        context.set_pre_touch_mapped_memory(Settings::of(task)?.pre_touch).map_err(refused)?;
        let connect = || -> Result<Aeron, AeronCError> {
            let client = Aeron::new(&context)?;
            client.start()?;
            Ok(client)
        };
        connect().map_err(|error| failed(&format!("the driver at {}", directory.display()), &error))
    }
}

/// Where the receivers tell the sender that all of them have its stream.
fn gathered(task: &Task) -> PathBuf {
    task.directory.join("aeron-gathered")
}

/// The addresses of the receivers.
fn peers(task: &Task) -> io::Result<&[SocketAddr]> {
    if task.peers.len() == task.receivers {
        return Ok(&task.peers);
    }
    let (peers, receivers) = (task.peers.len(), task.receivers);
    Err(invalid(format!("aeron needs the address of each receiver (peers): {peers} for {receivers}")))
}

fn endpoint(peer: SocketAddr) -> io::Result<CString> {
    c_string(format!("aeron:udp?endpoint={peer}"))
}

fn c_string(text: String) -> io::Result<CString> {
    CString::new(text).map_err(|error| invalid(format!("a text with a zero byte: {error}")))
}

/// What did not work, and what Aeron says of it, on one line.
fn failed(what: &str, error: &impl Display) -> io::Error {
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    io::Error::other(format!("{what}: aeron says: {}", words.join(" ")))
}

fn late(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}
