//! The processes of a trial: the sender, the receivers, and whatever the system needs between them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Stage;
use super::child::Process;
use super::cost::{Wire, cpu_s};
use super::parts::{self, MODE, OFFLOAD, PACKING, RELAY};
use super::systems::{self, Kind, SIDECAR_MODE};
use super::trial::Case;
use crate::load::Pace;
use crate::load::outcome::Received;
use crate::load::part::{Ready, SPIN, Sent, Task};
use crate::peers::following;
use crate::systems::server::Server;
use crate::systems::{gstreamer, python};

/// How long a process may take to be ready.
const READY: Duration = Duration::from_secs(20);
/// The first receiver's address: they follow one another, as pods of a service that share a port.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// Everybody who takes part in a trial; killed with it.
pub(super) struct Cast {
    pub(super) sender: Process,
    pub(super) receivers: Process,
    /// Relays, drivers.
    others: Vec<Process>,
    server: Option<Server>,
    kind: Kind,
}

impl Cast {
    /// Starts everybody and waits until all are ready.
    ///
    /// # Errors
    /// Says who is not, and why.
    pub(super) fn start(
        stage: &Stage,
        case: Case<'_>,
        pace: Pace,
        spin: Duration,
        directory: &Path,
    ) -> Result<Self, String> {
        let kind =
            systems::kind(case.system).ok_or_else(|| format!("there is no system '{}'", case.system))?;
        let task = Task {
            system: case.system.to_owned(),
            receivers: case.receivers,
            pace,
            core: None,
            server: None,
            peers: free_peers(case.receivers)?,
            directory: directory.to_owned(),
            options: [(SPIN.into(), spin.as_nanos().to_string())].into(),
        };
        Starting { stage, kind, directory, task, others: Vec::new(), server: None }.start()
    }

    /// Seconds of a core that everybody but the sender took so far, who says so by himself.
    pub(super) fn cpu_s(&self) -> f64 {
        let processes = self.others.iter().chain([&self.receivers]).map(Process::pid);
        processes.chain(self.server.as_ref().map(Server::pid)).map(cpu_s).sum()
    }

    /// What the sender says when it has sent.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn hear_sent(&mut self, wait: Duration) -> Result<Sent, String> {
        let what = "account of what was sent";
        match self.kind {
            Kind::Python => self.sender.hear::<python::Report>(what, wait).map(Sent::from),
            _ => self.sender.hear(what, wait),
        }
    }

    /// Bytes on the wire since then, when the sender sent so many messages of so many bytes; `None` when nobody knows: what
    /// a sidecar has sent to a peer at once is counted by itself alone.
    pub(super) fn wire_bytes(
        &self,
        (now, then): (Wire, Wire),
        received: &Received,
        sent: u64,
        size: usize,
    ) -> Option<u64> {
        // To a relay on the same host they are on no wire, though they go by UDP.
        let to_relay = if matches!(self.kind, Kind::Gstreamer | Kind::Relay) { sent } else { 0 };
        let datagrams = match self.kind {
            Kind::Sidecar => return None,
            Kind::Headcast(_) | Kind::Relay => {
                received.counters.get("datagrams").copied().unwrap_or(0) + to_relay
            }
            _ => 0,
        };
        Some(now.since(then, datagrams).saturating_sub(Wire::of_datagrams(to_relay, size)))
    }

    /// What else is to be known of how it was sent.
    pub(super) fn remark(&self, sent: &Sent) -> Option<String> {
        let by_name = sent.counters.get(python::BY_NAME).is_none_or(|by_name| *by_name > 0);
        (!by_name).then(|| {
            "the name has not all receivers' addresses, and no others: they were given to it".to_owned()
        })
    }

    /// Lets those end by themselves that have something to clear up.
    pub(super) fn end(self) {
        self.sender.end();
        self.receivers.end();
        if self.kind == Kind::Aeron {
            self.others.into_iter().for_each(Process::end);
        }
    }
}

/// A cast that is not complete.
struct Starting<'a> {
    stage: &'a Stage,
    kind: Kind,
    directory: &'a Path,
    task: Task,
    others: Vec<Process>,
    server: Option<Server>,
}

impl Starting<'_> {
    fn start(mut self) -> Result<Cast, String> {
        match self.kind {
            Kind::Headcast(library) => {
                let switch = |on: bool| if on { "on" } else { "off" };
                self.set(MODE, library.mode);
                self.set(PACKING, switch(library.batching.packs()));
                self.set(OFFLOAD, switch(library.batching.is_offloaded()));
            }
            Kind::Broker(broker) => {
                let server = Server::start(broker, self.directory).map_err(|error| error.to_string())?;
                self.task.server = Some(server.address());
                self.server = Some(server);
            }
            Kind::ZeroMq => self.task.server = Some(free_tcp()?),
            Kind::Aeron => self.start_drivers()?,
            Kind::Gstreamer | Kind::Relay => {
                let relay = free_udp(Ipv4Addr::LOCALHOST)?;
                self.set(RELAY, &relay.to_string());
            }
            Kind::Python => {
                // Each number of receivers has a name of its own: a name has all of its addresses.
                let name = format!("{}.{}", self.task.receivers, self.stage.name);
                self.set(python::NAME, &name);
            }
            Kind::Sidecar => {}
        }
        let mut receivers = self.part("receivers", "subscribe")?;
        let sender = if self.kind == Kind::ZeroMq {
            // Both wait for each other.
            let mut sender = self.part("sender", "publish")?;
            receivers.hear::<Ready>("receivers that are ready", READY)?;
            sender.hear::<Ready>("sender that is ready", READY)?;
            sender
        } else {
            receivers.hear::<Ready>("receivers that are ready", READY)?;
            match self.kind {
                Kind::Relay => self.start_relay(&format!("udp://{}", self.task.options[RELAY]))?,
                Kind::Sidecar => self.start_sidecars()?,
                Kind::Gstreamer => self.start_gstreamer()?,
                _ => {}
            }
            let mut sender = self.part("sender", "publish")?;
            sender.hear::<Ready>("sender that is ready", READY)?;
            sender
        };
        Ok(Cast { sender, receivers, others: self.others, server: self.server, kind: self.kind })
    }

    fn set(&mut self, option: &str, value: &str) {
        self.task.options.insert(option.to_owned(), value.to_owned());
    }

    /// The program that knows the system, as one of its sides.
    fn part(&self, name: &str, side: &str) -> Result<Process, String> {
        let receiving = side == "subscribe";
        // Whatever stands between the two goes where the kernel puts it, servers, relays and drivers alike.
        let core = self.stage.cores.filter(|_| side != "driver").map(|cores| cores[usize::from(receiving)]);
        let task = Task { core, ..self.task.clone() };
        let mut command = if self.kind == Kind::Python && !receiving {
            python::command(&task)?
        } else {
            let mut command = if matches!(self.kind, Kind::ZeroMq | Kind::Aeron) {
                let program = self.stage.rivals.as_deref().unwrap_or(Path::new("headcast-bench-rivals"));
                without(Command::new(program), "AERON_")
            } else {
                let mut command = Command::new(&self.stage.program);
                command.arg("part");
                command
            };
            command.arg(side).arg(json(&task)?);
            command
        };
        Process::start(name, &mut command, self.directory)
    }

    /// A media driver on each side, as on two hosts.
    fn start_drivers(&mut self) -> Result<(), String> {
        for side in ["sender", "receivers"] {
            self.set("side", side);
            let mut driver = self.part(&format!("driver-{side}"), "driver")?;
            driver.hear::<Ready>("driver that is ready", READY)?;
            self.others.push(driver);
        }
        self.task.options.remove("side");
        Ok(())
    }

    /// A subscriber beside each receiver, and a relay beside the sender.
    fn start_sidecars(&mut self) -> Result<(), String> {
        for (at, peer) in self.task.peers.clone().into_iter().enumerate() {
            let to = format!("unix://{}", parts::inbox_path(self.directory, at).display());
            let mut command = self.headcast("subscribe");
            // Others than the one that publishes need no room.
            command.args(["--listen", &peer.to_string(), "--forward", &to, "--publishers", "2"]);
            let name = format!("subscriber-{at}");
            self.others.push(Process::start(&name, &mut command, self.directory)?);
        }
        for subscriber in &mut self.others {
            subscriber.logs(" ready", READY)?;
        }
        self.start_relay(&format!("unix://{}", parts::relay_path(self.directory).display()))
    }

    /// A relay beside the sender, for what comes there.
    fn start_relay(&mut self, listen: &str) -> Result<(), String> {
        let peers: Vec<String> = self.task.peers.iter().map(SocketAddr::to_string).collect();
        let mut command = self.headcast("relay");
        command.args(["--listen", listen, "--peers", &peers.join(","), "--mode", SIDECAR_MODE]);
        command.args(["--publisher-id", "1"]);
        let mut relay = Process::start("relay", &mut command, self.directory)?;
        relay.logs(" ready", READY)?;
        self.others.push(relay);
        Ok(())
    }

    fn headcast(&self, command: &str) -> Command {
        let mut headcast = without(Command::new(&self.stage.headcast), "HEADCAST_");
        headcast.arg(command);
        headcast
    }

    fn start_gstreamer(&mut self) -> Result<(), String> {
        let relay: SocketAddr =
            self.task.options[RELAY].parse().map_err(|error| format!("gstreamer: {error}"))?;
        let mut command = gstreamer::command(relay, &self.task.peers, self.task.pace.size);
        let mut process = Process::start("gstreamer", &mut command, self.directory)?;
        let deadline = crate::clock::now() + READY;
        while !is_bound(relay) {
            if process.has_ended() || crate::clock::now() >= deadline {
                return Err(format!("gstreamer: it does not listen at {relay}: {}", process.last_words()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.others.push(process);
        Ok(())
    }
}

/// Options can be set in the environment, where they would go unnoticed: none of these is.
fn without(mut command: Command, prefix: &str) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(prefix)) {
        command.env_remove(name);
    }
    command
}

fn json(task: &Task) -> Result<String, String> {
    serde_json::to_string(task).map_err(|error| format!("a task cannot be told: {error}"))
}

/// Addresses of that many receivers, with a port that is free at the first of them.
fn free_peers(receivers: usize) -> Result<Vec<SocketAddr>, String> {
    let SocketAddr::V4(first) = free_udp(FIRST)? else { return Err("no address of IPv4".into()) };
    let peers = following(first, receivers).ok_or_else(|| format!("there are no {receivers} addresses"))?;
    Ok(peers.into_iter().map(SocketAddr::V4).collect())
}

fn free_udp(address: Ipv4Addr) -> Result<SocketAddr, String> {
    let socket = UdpSocket::bind(SocketAddrV4::new(address, 0)).and_then(|socket| socket.local_addr());
    socket.map_err(|error| format!("no port of {address} is free: {error}"))
}

fn free_tcp() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.map_err(|error| format!("no port is free: {error}"))
}

/// Whether anybody listens there, by UDP over IPv4 (`/proc/net/udp`, `Documentation/networking/proc_net_tcp.rst`).
fn is_bound(address: SocketAddr) -> bool {
    let SocketAddr::V4(address) = address else { return false };
    let ip = u32::from_ne_bytes(address.ip().octets());
    let local = format!(" {ip:08X}:{:04X} ", address.port());
    fs::read_to_string("/proc/self/net/udp").is_ok_and(|sockets| sockets.contains(&local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_is_seen() {
        let socket = UdpSocket::bind((FIRST, 0)).expect("a socket");
        let address = socket.local_addr().expect("an address");
        assert!(is_bound(address));
        drop(socket);
        assert!(!is_bound(address));
    }

    #[test]
    fn receivers_share_a_port_as_pods_do() {
        let peers = free_peers(300).expect("addresses");
        assert_eq!(peers.len(), 300);
        assert!(peers.iter().all(|peer| peer.port() == peers[0].port()));
        assert_eq!((peers[0].ip(), peers[299].ip()), (FIRST.into(), Ipv4Addr::new(127, 0, 2, 44).into()));
    }
}
