//! The systems that can be compared: what they are called, how they are set up, whether they are there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::Stage;
use super::outcome::System;
use crate::systems::server::Broker;
use crate::systems::{gstreamer, python};

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The library on both sides.
    Headcast(Library),
    /// A relay beside the sender, and the library's subscribers.
    Relay,
    /// A relay beside the sender, and a subscriber beside each receiver.
    Sidecar,
    /// A server that everybody connects to.
    Broker(Broker),
    /// By a native library, in the program for those: everybody connects to the sender.
    ZeroMq,
    /// The same; with media drivers of its own.
    Aeron,
    /// A relay that takes datagrams.
    Gstreamer,
    /// A sender in Python.
    Python,
}

/// How the library is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Library {
    pub(super) mode: &'static str,
    pub(super) batching: Batching,
}

/// What becomes of messages that wait for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batching {
    /// They share datagrams, and datagrams share sends and receptions.
    Full,
    /// Only the latter: a datagram for each message.
    Gso,
    /// Neither: a datagram and a header of `sendmmsg` for each message and receiver.
    Off,
}

const fn library(mode: &'static str, batching: Batching) -> Kind {
    Kind::Headcast(Library { mode, batching })
}

impl Batching {
    /// Whether messages share datagrams.
    pub(super) fn packs(self) -> bool {
        self == Self::Full
    }

    /// Whether datagrams share sends and receptions.
    pub(super) fn is_offloaded(self) -> bool {
        self != Self::Off
    }

    fn told(self) -> &'static str {
        match self {
            Self::Full => {
                "messages that wait share datagrams, datagrams share sends (GSO) and receptions (GRO)"
            }
            Self::Gso => {
                "a datagram for each message, datagrams that wait share sends (GSO) and receptions (GRO)"
            }
            Self::Off => "a datagram for each message, prepared sendmmsg; no packing, GSO or GRO",
        }
    }
}

/// Every system by its name, in the order of the first round.
const ALL: [(&str, Kind); 15] = [
    (OURS, library("nak", Batching::Full)),
    (GSO, library("nak", Batching::Gso)),
    (PLAIN, library("nak", Batching::Off)),
    ("headcast-dup", library("dup", Batching::Full)),
    ("headcast-once", library("once", Batching::Full)),
    (RELAY, Kind::Relay),
    ("sidecar", Kind::Sidecar),
    ("redis", Kind::Broker(Broker::Redis)),
    ("nats", Kind::Broker(Broker::Nats)),
    ("mosquitto", Kind::Broker(Broker::Mosquitto)),
    ("zeromq", Kind::ZeroMq),
    ("aeron", Kind::Aeron),
    ("aeron-tuned", Kind::Aeron),
    ("gstreamer", Kind::Gstreamer),
    ("python", Kind::Python),
];

/// The library with everything that is on by default, which has to say where it is not the best.
pub(super) const OURS: &str = "headcast";
/// The library without packing.
pub(super) const GSO: &str = "headcast-gso";
/// The library without packing, GSO and GRO.
pub(super) const PLAIN: &str = "headcast-plain";
/// A relay beside the sender only.
pub(super) const RELAY: &str = "relay";

/// The mode of the sidecars.
pub(super) const SIDECAR_MODE: &str = "nak";

/// The system of this name.
///
/// # Errors
/// When there is none; says which there are.
pub(super) fn known(name: &str) -> Result<String, String> {
    if ALL.iter().any(|(known, _)| *known == name) {
        return Ok(name.to_owned());
    }
    let all: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
    Err(format!("'{name}' is no system; there are {}", all.join(", ")))
}

pub(super) fn kind(name: &str) -> Option<Kind> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// Whether it is somebody else's system that brings messages to all who want them, rather than plain datagrams or a
/// variant of our own: what ours is measured by.
pub(super) fn is_peer(name: &str) -> bool {
    matches!(kind(name), Some(Kind::Broker(_) | Kind::ZeroMq | Kind::Aeron))
}

/// Those that are compared unless told otherwise.
pub(super) fn usual() -> impl Iterator<Item = String> {
    // Without repairs it does less than all others that are not plain datagrams.
    ALL.iter().map(|(name, _)| *name).filter(|name| *name != "headcast-once").map(str::to_owned)
}

/// What a system says of itself.
///
/// # Errors
/// Why it is not there.
pub(super) fn describe(stage: &Stage, name: &str) -> Result<System, String> {
    let kind = kind(name).ok_or_else(|| format!("there is no system '{name}'"))?;
    let own = concat!(env!("CARGO_PKG_VERSION"), " ", env!("HEADCAST_COMMIT")).trim().to_owned();
    let (version, setup) = match kind {
        Kind::Headcast(Library { mode, batching }) => {
            (own, format!("the library, mode {mode}, one socket for all receivers; {}", batching.told()))
        }
        Kind::Relay => (
            version(&stage.headcast, "cargo build --package headcast-cli")?,
            format!(
                "headcast relay beside the sender, which sends to it by UDP, up to 63 messages in one packet \
                 (UDP_SEGMENT); the library's subscribers; mode {SIDECAR_MODE}; {}",
                Batching::Full.told()
            ),
        ),
        Kind::Sidecar => (
            version(&stage.headcast, "cargo build --package headcast-cli")?,
            format!(
                "headcast relay beside the sender, headcast subscribe beside each receiver, Unix sockets to both; \
                 mode {SIDECAR_MODE}; {}",
                Batching::Full.told()
            ),
        ),
        Kind::Broker(broker) => (
            broker.version().map_err(|error| error.to_string())?,
            format!("one server{}; its protocol without a client library on both sides, TCP_NODELAY", of_broker(broker)),
        ),
        Kind::ZeroMq => (
            rival(stage, name)?,
            "libzmq's XPUB socket, which PUB is built on, over TCP, high-water mark 100,000; a raw ZMTP reader".to_owned(),
        ),
        Kind::Aeron if name == "aeron" => (
            rival(stage, name)?,
            "C media drivers and C client, multi-destination-cast, the drivers' defaults".to_owned(),
        ),
        Kind::Aeron => (
            rival(stage, name)?,
            "as aeron; tuned: NAK backoff 500 us, group size as there are receivers, linger 2 ms, socket buffers 4 MiB, \
             window 1 MiB, terms of 4 MiB, 16 datagrams a call, one thread for each driver"
                .to_owned(),
        ),
        Kind::Gstreamer => (
            version(
                Path::new(gstreamer::PROGRAM),
                "Debian packages gstreamer1.0-tools and gstreamer1.0-plugins-good",
            )?,
            "udpsrc to multiudpsink, sync=false; plain datagrams, nothing is sent again".to_owned(),
        ),
        Kind::Python => (
            version(Path::new(python::INTERPRETER), "Debian package python3")?,
            "a loop of sendto over the addresses of a name; plain datagrams, nothing is sent again".to_owned(),
        ),
    };
    Ok(System { name: name.to_owned(), version, setup })
}

/// What is special about it.
fn of_broker(broker: Broker) -> &'static str {
    match broker {
        Broker::Redis => {
            ", nothing stored, no limit for slow subscribers, commands not answered (CLIENT REPLY OFF)"
        }
        Broker::Nats => ", core NATS, 1 GiB pending for each subscriber",
        Broker::Mosquitto => ", QoS 0, nothing stored, no limit for slow subscribers",
    }
}

/// The version of a system that the program for native libraries has.
fn rival(stage: &Stage, name: &str) -> Result<String, String> {
    let program = stage.rivals.as_ref().ok_or(
        "it needs the program headcast-bench-rivals, which scripts/compare builds; name it by --rivals",
    )?;
    let systems = first_line(Command::new(program).arg("systems"), "bench/rivals, by scripts/compare")?;
    let systems: BTreeMap<String, String> = serde_json::from_str(&systems)
        .map_err(|error| format!("{} does not say which systems it has: {error}", program.display()))?;
    systems.get(name).cloned().ok_or_else(|| format!("{} was built without it", program.display()))
}

fn first_line(command: &mut Command, package: &str) -> Result<String, String> {
    let program = command.get_program().to_owned();
    let program = Path::new(&program).display();
    let output =
        command.output().map_err(|error| format!("{program} cannot be started: {error} ({package})"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} fails ({}): {} ({package})", output.status, errors.trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The version that a program tells on the first line of its `--version`.
fn version(program: &Path, package: &str) -> Result<String, String> {
    let line = first_line(Command::new(program).arg("--version"), package)?;
    let mut words =
        line.split_whitespace().skip_while(|word| !word.starts_with(|first: char| first.is_ascii_digit()));
    words
        .next()
        .map(str::to_owned)
        .ok_or_else(|| format!("{} does not tell its version: '{line}'", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_known_by_its_name() {
        for (name, kind_of_it) in ALL {
            assert_eq!((known(name), kind(name)), (Ok(name.to_owned()), Some(kind_of_it)));
        }
        assert!(known("carrier-pigeon").expect_err("none").contains("redis"));
        assert_eq!(usual().count(), ALL.len() - 1);
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let error = first_line(&mut Command::new("no-such-program"), "Debian package nothing");
        let error = error.expect_err("it is missing");
        assert!(error.contains("no-such-program") && error.contains("Debian package nothing"), "{error}");
    }
}
