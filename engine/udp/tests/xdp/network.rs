//! Two network namespaces with a link between them, for one test.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns};

/// The namespaces `sender` and `receiver`, gone when it is dropped.
///
/// `out` of the sender and `in` of the receiver are the ends of the link: 10.9.0.1 and fd09::1, 10.9.0.2 and
/// fd09::2.
pub(crate) struct Network {
    id: String,
}

impl Network {
    pub(crate) fn up() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces, which needs root");
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let network = Self { id: format!("hcx-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed)) };
        let (sender, receiver) = (network.name("sender"), network.name("receiver"));
        for line in [
            format!("ip netns add {sender}"),
            format!("ip netns add {receiver}"),
            format!("ip -n {sender} link add out type veth peer name in netns {receiver}"),
        ] {
            run(&line);
        }
        network.ip("sender", "link set lo up");
        network.ip("receiver", "link set lo up");
        network.address("sender", "out", 9, 1);
        network.address("receiver", "in", 9, 2);
        network
    }

    /// Gives an interface its addresses, and sets it up.
    pub(crate) fn address(&self, place: &str, device: &str, net: u8, host: u8) {
        self.ip(place, &format!("link set {device} up"));
        self.ip(place, &format!("address add 10.{net}.0.{host}/24 dev {device}"));
        self.ip(place, &format!("address add fd{net:02}::{host}/64 dev {device} nodad"));
    }

    /// Whether the kernel knows VLAN devices.
    pub(crate) fn has_vlans(&self) -> bool {
        let line = format!("-n {} link add link out name probe type vlan id 9", self.name("sender"));
        let output = Command::new("ip").args(line.split_whitespace()).output().expect("it runs");
        output.status.success() || !String::from_utf8_lossy(&output.stderr).contains("Unknown device type")
    }

    fn name(&self, place: &str) -> String {
        format!("{}-{place}", self.id)
    }

    /// Runs `ip` in a namespace.
    pub(crate) fn ip(&self, place: &str, line: &str) {
        run(&format!("ip -n {} {line}", self.name(place)));
    }

    /// Runs a program in a namespace; its standard output.
    pub(crate) fn exec(&self, place: &str, line: &str) -> String {
        run(&format!("ip netns exec {} {line}", self.name(place)))
    }

    /// Runs `work` on a thread whose sockets are in a namespace.
    pub(crate) fn thread<T: Send + 'static>(
        &self,
        place: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let path = format!("/run/netns/{}", self.name(place));
        std::thread::spawn(move || {
            let namespace = std::fs::File::open(&path).expect("a namespace");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("entered");
            work()
        })
    }

    /// Does `work` in a namespace, and waits for it.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        place: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.thread(place, work).join().expect("no panic")
    }

    /// A counter of the receiver's kernel, e.g. `Udp6InCsumErrors`.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let table = self.exec("receiver", "nstat -asz --json");
        let (_, rest) =
            table.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {table}"));
        rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().expect("a number").parse().expect("one")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for place in ["sender", "receiver"] {
            let _ = Command::new("ip").args(["netns", "delete", &self.name(place)]).status();
        }
    }
}

fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().expect("a program")).args(words).output().expect("it runs");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
