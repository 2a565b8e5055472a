//! Peers found by DNS.
//!
//! A and AAAA are two questions with two outcomes: one that fails does not spoil the other, and is not hidden
//! by it. There is no cache: what is asked is asked of the server, as often as the pace says.

mod ask;
mod lookup;
mod query;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::{
    config::NameServerConfig, net::NetError, proto::rr::Name, system_conf::read_system_conf,
};
use tokio::{runtime, time::sleep};

use self::ask::Asker;
pub(crate) use self::lookup::{Told, Verdict};
pub use self::query::{DnsQuery, NameError};
use crate::{LookupError, SourceError, Stop};

/// How often a lookup looks whether it should stop.
const STOP_POLL: Duration = Duration::from_millis(20);

/// A DNS client for one query.
pub(crate) struct Dns {
    runtime: runtime::Runtime,
    query: DnsQuery,
    timeout: Duration,
    system: System,
    /// The server that answered last, as an index.
    preferred: usize,
    /// Which of the candidates had records.
    found_as: Option<Name>,
}

/// What `/etc/resolv.conf` says.
struct System {
    servers: Vec<SocketAddr>,
    search: Vec<Name>,
    ndots: usize,
}

impl System {
    fn read() -> Result<Self, NetError> {
        let (config, options) = read_system_conf()?;
        let server = |server: &NameServerConfig| {
            let port = server.connections.first().map_or(53, |connection| connection.port);
            SocketAddr::new(server.ip, port)
        };
        let mut search = config.search().to_vec();
        if search.is_empty() {
            search.extend(config.domain().cloned());
        }
        Ok(Self { servers: config.name_servers().iter().map(server).collect(), search, ndots: options.ndots })
    }
}

impl Dns {
    pub(crate) fn new(query: DnsQuery, timeout: Duration) -> Result<Self, SourceError> {
        let system = if query.servers().is_empty() {
            System::read().map_err(|error| SourceError::ResolvConf(error.to_string()))?
        } else {
            System { servers: query.servers().to_vec(), search: Vec::new(), ndots: 1 }
        };
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(SourceError::Runtime)?;
        Ok(Self { runtime, query, timeout, system, preferred: 0, found_as: None })
    }

    pub(crate) fn query(&self) -> &DnsQuery {
        &self.query
    }

    /// How many families an answer has.
    pub(crate) fn families(query: &DnsQuery) -> usize {
        if query.port().is_some() { 2 } else { 1 }
    }

    /// Asks once. Takes as long as the time-out at most, and returns soon after `stop`.
    pub(crate) fn ask(&mut self, stop: &Stop) -> Told {
        if self.query.servers().is_empty() {
            // A pod keeps its file, a laptop does not. While it cannot be read, the last one stands.
            match System::read() {
                Ok(system) => self.system = system,
                Err(error) => tracing::debug!(%error, "cannot read /etc/resolv.conf"),
            }
        }
        let asker = Arc::new(Asker::new(self.system.servers.clone(), self.preferred, self.timeout));
        let mut found_as = self.found_as.take();
        let told = self.runtime.block_on(async {
            tokio::select! {
                told = lookup::look_up(&asker, &self.query, &self.system, &mut found_as) => Some(told),
                () = stopped(stop) => None,
            }
        });
        self.preferred = asker.preferred();
        self.found_as = found_as;
        told.unwrap_or_else(|| Told::failed(Self::families(&self.query), LookupError::Stopped))
    }
}

async fn stopped(stop: &Stop) {
    while !stop.is_stopped() {
        sleep(STOP_POLL).await;
    }
}
