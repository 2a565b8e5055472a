//! `headcast demo`: the whole job on one machine, with nothing installed.
//!
//! ```text
//!   script ──> pods ready / not ready ──> name server (127.0.0.1)
//!                    |                          ^ A records, TTL 1 s
//!                    v                          |
//!   pods on 127.77.N.1.. <── UDP, 2 copies ── publisher
//!     drop some on purpose, and book everything: what is missing must have been dropped
//!     answer some messages ──> recorder ──> SQLite
//! ```
//!
//! Everything but the pods' addresses is real: DNS queries, the policy of who is a peer, sockets.

mod account;
mod dns;
mod driver;
mod live;
mod loss;
mod message;
mod pods;
mod publishing;
mod recording;
mod results;
mod script;
mod service;
mod table;

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use headcast::peers::{DnsQuery, Source, Stop};
use headcast::{Monitor, Publisher};

use crate::args::Demo;
use crate::failure::Failure;
use crate::{report, signals};
use dns::{NameServer, SERVICE, TTL};
use live::{Live, Standing};
use loss::Loss;
use pods::{Answers, Network, Pods};
use publishing::{Pace, Progress, Publishing};
use recording::Recording;
use results::{Results, Row, Traffic};
use script::Script;
use service::Service;

/// How often each message is sent.
const COPIES: usize = 2;
/// How long the first lookup may take.
const FIRST_LOOKUP_MAX: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Demo) -> Result<(), Failure> {
    let stop = Stop::new();
    let at_signal = stop.clone();
    signals::catch()?.on_stop(move || at_signal.stop())?;

    let dns = NameServer::start().map_err(Failure::about("cannot start a DNS server"))?;
    let dns_server = dns.address();
    let network = Network::find(args.peers.into())?;
    let loss = Loss::new(args.loss, args.seed.unwrap_or_else(any_seed));
    let live = Live::start(args.duration, args.json);
    live.say(&introduction(args, &network, dns_server, loss));

    let recording = Recording::start(loss)?;
    // The first pod is there all the time.
    let liar = args.liar.then_some(0);
    let answers = Answers { recorder: recording.address(), liar };
    let pods =
        Pods::start(network.clone(), loss, answers).map_err(Failure::about("cannot start the pods"))?;
    let script = Script::new(args.peers.into(), args.duration);
    let mut service = Service::start(dns, pods, network.clone(), script)?;
    let publisher = publisher(&network, dns_server)?;
    service.expect(publisher.session());

    let monitor = publisher.monitor();
    let pace = Pace { rate: args.rate, duration: args.duration };
    let publishing = Publishing::start(publisher, pace, stop.clone())
        .map_err(Failure::about("cannot start the publisher"))?;
    let watched = watch(&mut service, &publishing, &monitor, &live);
    if watched.is_err() {
        stop.stop();
    }
    live.finish();

    let interrupted = stop.is_stopped();
    let (published, out, elapsed) = publishing.join()?;
    let (stays, received) = service.finish()?;
    watched?;
    let responders: Vec<_> = stays.iter().map(|stay| stay.books.responder.clone()).collect();
    let answered = received.answered.len() as u64;
    let recorded = recording.finish(&responders, answered, liar.map(recording::number))?;
    let row = |stay: &service::Stay| Row { ip: stay.ip, lifetime: stay.lifetime, totals: stay.settle(out) };
    let results = Results {
        loss,
        dns_server,
        interrupted,
        elapsed,
        rate: args.rate,
        published,
        unsent: published - out,
        lookups: monitor.status().lookups,
        peer_sets: monitor.counters().peer_sets.get(),
        rows: stays.iter().map(row).collect(),
        traffic: Traffic::of(&stays),
        latencies: received.latencies,
        recorded,
    };
    conclude(&results, args.json)
}

/// What is about to happen.
fn introduction(args: &Demo, network: &Network, dns_server: SocketAddr, loss: Loss) -> String {
    let (first, last, port) = (network.ip(0), network.ip(usize::from(args.peers) - 1), network.port);
    let usual = if network.is_usual() { "" } else { " (12000 on 127.77.0.* is taken)" };
    format!(
        "A headless service on this machine: no cluster, no root, all on 127.0.0.0/8.\n\
         \x20 DNS        {dns_server} knows {SERVICE}:\n\
         \x20            an A record for each pod that is ready, TTL {TTL} s\n\
         \x20 pods       {first} to {last}, port {port}{usual}; they come and go\n\
         \x20 publisher  asks that name about every second, and sends {} messages/s\n\
         \x20            to every address it is told, each message twice, 2 ms apart\n\
         \x20 recorder   stores the answers of the pods to every {}th message in SQLite{}\n\
         \x20 network    drops {} % of the datagrams on purpose (--seed {})\n",
        table::rate(args.rate),
        recording::ANSWERED,
        if args.liar { format!("; {first} lies (--liar)") } else { String::new() },
        loss.percent(),
        loss.seed()
    )
}

/// A publisher that has found those pods that are ready.
fn publisher(network: &Network, dns_server: SocketAddr) -> Result<Publisher, Failure> {
    let query = DnsQuery::new(SERVICE, network.port).map_err(Failure::new)?.via([dns_server]);
    let mut publisher =
        Publisher::builder().source(Source::Dns(query)).copies(COPIES).packing(false).build()?;
    publisher.wait_for_peers(FIRST_LOOKUP_MAX).map_err(Failure::new)?;
    Ok(publisher)
}

/// Lets pods come and go, and shows how things stand, until the publisher has finished.
fn watch(
    service: &mut Service,
    publishing: &Publishing,
    monitor: &Monitor,
    live: &Live,
) -> Result<(), Failure> {
    let start = report::now();
    let mut peers_said = Vec::new();
    while !publishing.is_finished() {
        let now = start.elapsed();
        let say = |line: &str| live.say(&format!("{:>5.1} s  {line}", now.as_secs_f64()));
        let peers = monitor.status().peers;
        if peers != peers_said {
            say(&found(&peers_said, &peers));
            peers_said.clone_from(&peers);
        }
        for line in service.go_on(now, publishing.progress(), &peers)? {
            say(&line);
        }
        live.show(now, &standing(service, peers.len(), publishing.progress()));
        std::thread::sleep(live::EVERY);
    }
    Ok(())
}

/// How the publisher's set of peers has changed.
fn found(before: &[SocketAddr], now: &[SocketAddr]) -> String {
    let without = |these: &[SocketAddr], those: &[SocketAddr]| {
        these.iter().filter(|peer| !those.contains(peer)).count()
    };
    let changes = [("found", without(now, before)), ("dropped", without(before, now))];
    let changes: Vec<_> = changes
        .iter()
        .filter(|(_, pods)| *pods > 0)
        .map(|(what, pods)| format!("{what} {}", service::pods(*pods)))
        .collect();
    format!("the publisher has {} and sends to {}", changes.join(", "), now.len())
}

fn standing(service: &Service, peers: usize, progress: &Progress) -> Standing {
    let stays = service.stays();
    let traffic = Traffic::of(stays);
    Standing {
        ready: service.ready(),
        peers,
        published: progress.published(),
        received: traffic.datagrams,
        duplicates: traffic.duplicates,
        rescued: stays.iter().map(|stay| stay.books.counters.rescued.get()).sum(),
        lost: stays.iter().map(|stay| stay.books.ledger.lock().lost_so_far()).sum(),
    }
}

/// Prints what came of it; fails if the promise was broken.
fn conclude(results: &Results, json: bool) -> Result<(), Failure> {
    let broken = results.broken();
    let printed = if json {
        print(&results.json().to_string())
    } else {
        let kept = if broken.is_none() && results.totals().owed > 0 {
            "\nThe promise was kept: nothing was lost but what lost both copies, and nothing came twice."
        } else {
            ""
        };
        print(&format!("\n{}{kept}", table::render(results)))
    };
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed.map_err(Failure::about("standard output"))?,
    }
    match broken {
        Some(how) => Err(Failure::new(format!("the promise was broken: {how}"))),
        None => Ok(()),
    }
}

fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// A seed by chance: the standard library draws the keys of its hashes so.
fn any_seed() -> u64 {
    // Short enough to be typed.
    RandomState::new().hash_one(0) % 1_000_000
}
