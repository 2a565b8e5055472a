//! The watcher against a DNS server: real sockets, real messages, made-up time.

#![allow(clippy::unwrap_used)] // clippy knows a test function, not what it calls

use std::time::{Duration, Instant};

use headcast_peers::{DnsQuery, Limits, Report, Source, Stop, Watcher};
use hickory_resolver::proto::rr::Record;

use self::server::{Reply, Server};

mod answers;
mod failures;
mod server;

const SVC: &str = "pods.ns.svc.cluster.test";

/// A watcher of a server, and the time as the watcher is told it.
struct Rig {
    server: Server,
    watcher: Watcher,
    now: Instant,
    stop: Stop,
}

impl Rig {
    fn new() -> Self {
        Self::with(DnsQuery::new(SVC, 9000).unwrap(), Limits::default())
    }

    fn with(query: DnsQuery, limits: Limits) -> Self {
        let server = Server::start();
        let source = Source::Dns(query.via([server.addr]));
        let watcher = Watcher::new(source, limits).unwrap();
        #[allow(clippy::disallowed_methods)] // some time to begin with
        let now = Instant::now();
        Self { server, watcher, now, stop: Stop::new() }
    }

    fn impatient() -> Self {
        Self::with(
            DnsQuery::new(SVC, 9000).unwrap(),
            Limits { lookup_timeout: Duration::from_millis(300), ..Limits::default() },
        )
    }

    fn refresh(&mut self) -> Report {
        let report = self.watcher.refresh(self.now, &self.stop);
        self.now += report.next;
        assert_eq!(report.changed, !(report.added.is_empty() && report.removed.is_empty()));
        report
    }

    /// The peers as text, after one refresh.
    fn peers_after(&mut self) -> Vec<String> {
        self.refresh();
        self.watcher.peers().iter().map(ToString::to_string).collect()
    }

    /// The last octets of the peers of 10.0.0.0/24 at port 9000, after one refresh.
    fn hosts_after(&mut self) -> Vec<u8> {
        let host = |text: &String| {
            text.strip_prefix("10.0.0.").unwrap().strip_suffix(":9000").unwrap().parse().unwrap()
        };
        self.peers_after().iter().map(host).collect()
    }

    /// How long ago the set was confirmed.
    fn age(&self) -> Duration {
        self.now - self.watcher.last_success().unwrap()
    }
}

fn records(records: impl IntoIterator<Item = Record>) -> Reply {
    Reply::Records(records.into_iter().collect(), vec![])
}
