//! A network lab for a test: namespaces, a DNS server, and what breaks them.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use headcast::peers::{DnsQuery, Source};
use headcast::{Publisher, PublisherBuilder, Subscriber};
use nix::sched::{CloneFlags, setns};

pub(crate) use crate::running::Running;

pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const NAME: &str = "headless-udp.demo.svc.cluster.local";
const DNS: &str = "10.78.0.53:53";
const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/lab");
pub(crate) const HEADCAST: &str = env!("CARGO_BIN_EXE_headcast");

/// Labs are up side by side, or one alone that needs the whole machine.
static MACHINE: RwLock<()> = RwLock::new(());

/// Namespaces that are gone when it is dropped.
pub(crate) struct Lab {
    id: String,
    _machine: Machine,
}

/// Which part of the machine a lab takes; only held.
#[expect(dead_code, reason = "a guard does its work by being there")]
enum Machine {
    Shared(RwLockReadGuard<'static, ()>),
    Whole(RwLockWriteGuard<'static, ()>),
}

impl Lab {
    /// Builds one; `options` as `scripts/lab up` takes them.
    pub(crate) fn up(options: &str) -> Self {
        Self::build(options, Machine::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Builds one that no other test's lab is beside.
    pub(crate) fn up_alone(options: &str) -> Self {
        Self::build(options, Machine::Whole(MACHINE.write().unwrap_or_else(PoisonError::into_inner)))
    }

    fn build(options: &str, machine: Machine) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "the lab makes network namespaces, which needs root");
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let lab = Self { id, _machine: machine };
        lab.run(&format!("up {options}"));
        lab
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(LAB);
        let mut words = line.split_whitespace();
        command.arg(words.next().expect("a subcommand")).args(["--id", &self.id]).args(words);
        command
    }

    /// The name of a namespace.
    pub(crate) fn namespace(&self, place: &str) -> String {
        format!("hc-{}-{place}", self.id)
    }

    /// Runs `scripts/lab` with these words; its standard output.
    pub(crate) fn run(&self, line: &str) -> String {
        let output = self.command(line).output().expect("scripts/lab runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/lab {line}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The words of a `scripts/lab` command for a shell.
    pub(crate) fn lab_words(&self, line: &str) -> String {
        let command = self.command(line);
        let words = command.get_args().map(|word| word.to_string_lossy());
        std::iter::once(format!("'{LAB}'").into()).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// A command in a namespace of the lab, not started yet.
    pub(crate) fn exec(&self, place: &str, program: impl AsRef<Path>) -> Command {
        let mut command = self.command(&format!("exec {place}"));
        command.arg("--").arg(program.as_ref());
        command
    }

    /// Runs a command in a namespace to its end.
    pub(crate) fn output(&self, place: &str, program: &str, args: &str) -> Output {
        self.exec(place, program).args(args.split_whitespace()).output().expect("it runs")
    }

    /// Hands rules to `nft` in a namespace.
    pub(crate) fn nft(&self, place: &str, rules: &str) {
        let mut command = self.exec(place, "nft");
        command.args(["-f", "-"]).stdin(Stdio::piped());
        let mut child = command.spawn().expect("nft runs");
        child.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("nft reads");
        assert!(child.wait().expect("it ends").success(), "nft takes these rules: {rules}");
    }

    /// Starts the program in a namespace; its standard output can be read.
    pub(crate) fn headcast(&self, place: &str, args: &str) -> Running {
        let mut command = self.exec(place, HEADCAST);
        command.args(args.split_whitespace());
        Running::spawn(command)
    }

    /// Runs `work` on a thread whose sockets are in a namespace.
    pub(crate) fn thread<T: Send + 'static>(
        &self,
        place: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let path = format!("/run/netns/{}", self.namespace(place));
        spawn(move || {
            let namespace = std::fs::File::open(&path).expect("a namespace");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("entered");
            work()
        })
    }

    /// The address of pod K, from 1.
    pub(crate) fn address(&self, pod: usize) -> IpAddr {
        self.run(&format!("address {pod}")).trim().parse().expect("an address")
    }

    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.run("addresses").split_whitespace().map(|line| line.parse().expect("an address")).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A test that fails while it unwinds must not hide why.
        let _ = self.command("down").status();
    }
}

/// A publisher that asks the lab's DNS server; to be built on a thread in the publisher's namespace.
pub(crate) fn publisher() -> PublisherBuilder {
    let server: SocketAddr = DNS.parse().expect("an address");
    let query = DnsQuery::new(NAME, 12000).expect("a name").via([server]);
    Publisher::builder().source(Source::Dns(query)).publisher_id(1)
}

pub(crate) fn ready(builder: PublisherBuilder, peers: usize) -> Publisher {
    let mut publisher = builder.build().expect("a publisher");
    let deadline = now() + SOON;
    while publisher.wait_for_peers(SOON).expect("peers") != peers {
        assert!(now() < deadline, "{} peers instead of {peers}", publisher.peers());
        publisher.turn(Some(Duration::from_millis(10))).expect("a turn");
    }
    publisher
}

/// Publishes numbered messages at a rate, turning meanwhile.
pub(crate) fn publish_paced(publisher: &mut Publisher, numbers: std::ops::Range<u64>, every: Duration) {
    let started = now();
    let first = numbers.start;
    for number in numbers {
        let due = started + every * u32::try_from(number - first).expect("a short test");
        // Once at least: also a publisher that is late reads requests for repairs.
        loop {
            let wait = due.saturating_duration_since(now());
            publisher.turn(Some(wait)).expect("a turn");
            if due <= now() {
                break;
            }
        }
        publisher.publish(&number.to_le_bytes()).expect("published");
    }
}

/// Pods that receive on a thread of their own until told to stop.
pub(crate) struct Pods {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Pod>>,
}

/// What one pod got.
pub(crate) struct Pod {
    /// The numbers of the messages, in the order in which they were handed on.
    pub(crate) numbers: Vec<u64>,
    pub(crate) subscriber: Subscriber,
}

impl Pods {
    /// Listens on port 12000 of each address; returns when all are bound.
    pub(crate) fn start(lab: &Lab, addresses: Vec<IpAddr>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let (bound, is_bound) = std::sync::mpsc::channel();
        let thread = lab.thread("pods", move || {
            let listen = |address| {
                let subscriber = Subscriber::builder().listen(SocketAddr::new(address, 12000)).build();
                Pod { numbers: Vec::new(), subscriber: subscriber.expect("a subscriber") }
            };
            let mut pods: Vec<Pod> = addresses.into_iter().map(listen).collect();
            bound.send(()).expect("the test waits");
            // One more round after the stop: everything that was sent before it is in the sockets.
            loop {
                let last = stopping.load(Relaxed);
                let mut received = 0;
                for Pod { numbers, subscriber } in &mut pods {
                    while let Some(message) = subscriber.try_recv().expect("a socket that works") {
                        numbers.push(u64::from_le_bytes(message.payload.try_into().expect("a number")));
                        received += 1;
                    }
                }
                if last {
                    return pods;
                }
                if received == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        is_bound.recv().expect("the pods listen");
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Vec<Pod> {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("no panic")
    }
}

impl Pod {
    /// Asserts that it got exactly these messages, each once, whatever the order.
    pub(crate) fn assert_got(&self, numbers: std::ops::Range<u64>) {
        let mut got = self.numbers.clone();
        got.sort_unstable();
        let address = self.subscriber.local_addr().expect("an address");
        let expected: Vec<u64> = numbers.collect();
        assert!(
            got == expected,
            "{address} got {} of {} messages: {:?}",
            got.len(),
            expected.len(),
            self.counts()
        );
    }

    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        self.subscriber.counters().each().filter(|(_, count)| *count > 0).collect()
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(what, SOON, holds);
}

/// Waits until something holds that takes its time.
pub(crate) fn until_within(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = now() + time;
    while !holds() {
        assert!(now() < deadline, "{what} within {time:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[expect(clippy::disallowed_methods, reason = "tests wait for real sockets")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
