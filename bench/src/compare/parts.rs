//! One side of a trial, as a process of its own: which system's sender or receivers a task means.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::load::part::{self, Task};
use crate::systems::headcast::{self, Settings};
use crate::systems::{datagrams, mqtt, nats, redis};

/// The option of a task that says how Headcast makes messages arrive.
pub(super) const MODE: &str = "mode";
/// Whether messages of Headcast's library share datagrams: `on` unless it is `off`.
pub(super) const PACKING: &str = "packing";
/// Whether its datagrams share sends and receptions: `on` unless it is `off`.
pub(super) const OFFLOAD: &str = "offload";
/// The option that says where a relay takes datagrams: an address of UDP.
pub(super) const RELAY: &str = "relay";

/// A side of a trial.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Part {
    /// The sender.
    Publish {
        /// What to do.
        #[arg(value_name = "JSON", value_parser = task)]
        task: Task,
    },
    /// The receivers.
    Subscribe {
        /// What to do.
        #[arg(value_name = "JSON", value_parser = task)]
        task: Task,
    },
}

fn task(text: &str) -> Result<Task, String> {
    serde_json::from_str(text).map_err(|error| format!("no task: {error}"))
}

/// Plays the part.
///
/// # Errors
/// When the system is not known here, its server is not there, or it fails.
pub fn play(part: &Part) -> io::Result<()> {
    match part {
        Part::Publish { task } => publish(task),
        Part::Subscribe { task } => subscribe(task),
    }
}

fn publish(task: &Task) -> io::Result<()> {
    // Threads that a sender starts belong onto its core as well.
    task.pin()?;
    match task.system.as_str() {
        "redis" => part::publish(task, redis::Publisher::connect_without_replies(server(task)?)?),
        "nats" => part::publish(task, nats::Publisher::connect(server(task)?)?),
        "mosquitto" => part::publish(task, mqtt::Publisher::connect(server(task)?)?),
        "sidecar" => part::publish(task, datagrams::Publisher::to_path(&relay_path(&task.directory))?),
        "gstreamer" | "relay" => {
            let relay = task.options.get(RELAY).and_then(|relay| relay.parse().ok());
            let relay: SocketAddr = relay.ok_or_else(|| missing("where the relay is"))?;
            part::publish(task, datagrams::Publisher::to(relay)?)
        }
        system if system.starts_with("headcast") => {
            part::publish(task, headcast::Publisher::to_peers(&task.peers, &settings(task)?)?)
        }
        system => Err(unknown(system)),
    }
}

fn subscribe(task: &Task) -> io::Result<()> {
    let each = 0..task.receivers;
    let size = task.pace.size;
    match task.system.as_str() {
        "redis" => {
            let server = server(task)?;
            part::subscribe(task, &[], collect(each.map(|_| redis::Subscriber::connect(server)))?)
        }
        "nats" => {
            let server = server(task)?;
            part::subscribe(task, &[], collect(each.map(|_| nats::Subscriber::connect(server)))?)
        }
        "mosquitto" => {
            let server = server(task)?;
            part::subscribe(task, &[], collect(each.map(|_| mqtt::Subscriber::connect(server)))?)
        }
        "sidecar" => {
            let bind = |at| datagrams::Receiver::bind_path(&inbox_path(&task.directory, at), size);
            part::subscribe(task, &[], collect(each.map(bind))?)
        }
        "gstreamer" | "python" => {
            let bind = |peer: &SocketAddr| datagrams::Receiver::bind(*peer, size);
            part::subscribe(task, &task.peers, collect(task.peers.iter().map(bind))?)
        }
        system if system == "relay" || system.starts_with("headcast") => {
            let settings = settings(task)?;
            let listen = |peer: &SocketAddr| headcast::Subscriber::listen(*peer, &settings);
            part::subscribe(task, &task.peers, collect(task.peers.iter().map(listen))?)
        }
        system => Err(unknown(system)),
    }
}

/// How the library is set up.
fn settings(task: &Task) -> io::Result<Settings> {
    let mode = task.options.get(MODE).map(|mode| crate::run::mode(mode)).transpose();
    let on = |option: &str| task.options.get(option).is_none_or(|value| value != "off");
    let (packing, gso, gro) = (on(PACKING), on(OFFLOAD), on(OFFLOAD));
    Ok(Settings { mode: mode.map_err(io::Error::other)?, packing, gso, gro, ..Settings::default() })
}

/// Where the relay of the sender's side takes datagrams.
pub(super) fn relay_path(directory: &Path) -> PathBuf {
    directory.join("relay")
}

/// Where a receiver takes what its sidecar hands on.
pub(super) fn inbox_path(directory: &Path, receiver: usize) -> PathBuf {
    directory.join(receiver.to_string())
}

fn collect<R>(readers: impl Iterator<Item = io::Result<R>>) -> io::Result<Vec<R>> {
    readers.collect()
}

fn server(task: &Task) -> io::Result<SocketAddr> {
    task.server.ok_or_else(|| missing("where its server is"))
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("the task does not say {what}"))
}

fn unknown(system: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("there is no system '{system}' here"))
}
