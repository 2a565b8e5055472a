//! The cluster's DNS: an authoritative name server on 127.0.0.1 that knows one headless service.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::rr::rdata::{A, SOA};
use hickory_server::proto::rr::{Name, RData, Record, RecordSet, RecordType, RrKey};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;

/// The service, as a cluster would name it.
pub(super) const SERVICE: &str = "headless-udp.demo.svc.cluster.local";
/// The zone that it is in.
const ZONE: &str = "cluster.local.";
/// How long an answer may be used, in seconds: short, so that changes are seen soon.
pub(super) const TTL: u32 = 1;
/// How long a connection that asks nothing stays open.
const TCP_IDLE: Duration = Duration::from_secs(5);
/// Answers that may wait on one connection.
const TCP_ANSWERS: usize = 16;
/// How often to look for a port that is free for both UDP and TCP.
const PORT_TRIES: usize = 100;

type Zone = InMemoryZoneHandler<TokioRuntimeProvider>;

/// Answers until it is dropped, on a thread of its own.
pub(super) struct NameServer {
    address: SocketAddr,
    zone: Arc<Zone>,
    records: RrKey,
    name: Name,
    runtime: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    pub(super) fn start() -> io::Result<Self> {
        let (udp, tcp) = sockets()?;
        let address = udp.local_addr()?;
        let name = Name::from_ascii(format!("{SERVICE}.")).map_err(io::Error::other)?;
        let zone = Arc::new(zone().map_err(io::Error::other)?);
        let mut catalog = Catalog::new();
        catalog
            .upsert(Name::from_ascii(ZONE).map_err(io::Error::other)?.into(), vec![Arc::clone(&zone) as _]);

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let mut server = Server::new(catalog);
        {
            let _inside = runtime.enter();
            server.register_socket(UdpSocket::from_std(udp)?);
            server.register_listener(TcpListener::from_std(tcp)?, TCP_IDLE, TCP_ANSWERS);
        }
        let serve = move || {
            // A line for every question would bury what the demo has to say.
            tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::new(), || {
                // Stopped, or whoever could stop it is gone.
                let _ = runtime.block_on(stopped);
                drop(server);
            });
        };
        let thread = std::thread::Builder::new().name("headcast-dns".into()).spawn(serve)?;
        let records = RrKey::new((&name).into(), RecordType::A);
        Ok(Self { address, zone, records, name, runtime: handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it answers, by UDP and by TCP.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on these pods are ready: one A record each. Without any, the name does not exist.
    pub(super) fn serve(&self, ready: impl Iterator<Item = Ipv4Addr>) {
        let mut set = RecordSet::with_ttl(self.name.clone(), RecordType::A, TTL);
        for pod in ready {
            set.add_rdata(RData::A(A(pod)));
        }
        let mut records = self.runtime.block_on(self.zone.records_mut());
        if set.is_empty() {
            records.remove(&self.records);
        } else {
            records.insert(self.records.clone(), Arc::new(set));
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // A receiver that is gone has stopped already, and a panic over there has been printed.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A port that is free for UDP may be taken for TCP.
fn sockets() -> io::Result<(std::net::UdpSocket, std::net::TcpListener)> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        match std::net::TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => {
                udp.set_nonblocking(true)?;
                tcp.set_nonblocking(true)?;
                return Ok((udp, tcp));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// The zone without any service.
fn zone() -> Result<Zone, String> {
    let name = |name: &str| Name::from_ascii(name).map_err(|error| error.to_string());
    let origin = name(ZONE)?;
    let (day, hour) = (86_400, 3_600);
    let soa =
        SOA::new(name("ns.dns.cluster.local.")?, name("hostmaster.cluster.local.")?, 1, hour, hour, day, TTL);
    let soa = Record::from_rdata(origin.clone(), TTL, RData::SOA(soa));
    let key = RrKey::new((&origin).into(), RecordType::SOA);
    let records = BTreeMap::from([(key, RecordSet::from(soa))]);
    InMemoryZoneHandler::new(origin, records, ZoneType::Primary, AxfrPolicy::Deny)
}

#[cfg(test)]
mod tests {
    use headcast::peers::{DnsQuery, Limits, Outcome, Source, Stop, Watcher};

    use super::*;

    fn watcher(server: &NameServer) -> Watcher {
        let query = DnsQuery::new(SERVICE, 12000).unwrap().via([server.address()]);
        Watcher::new(Source::Dns(query), Limits::default()).unwrap()
    }

    #[test]
    fn a_service_without_ready_pods_does_not_exist() {
        let server = NameServer::start().unwrap();
        let ask = |watcher: &mut Watcher| watcher.refresh(crate::report::now(), &Stop::new());
        assert!(matches!(ask(&mut watcher(&server)).outcome, Outcome::NoSuchName { .. }));
        server.serve([Ipv4Addr::new(127, 77, 0, 1)].into_iter());
        assert_eq!(ask(&mut watcher(&server)).ttl, Some(Duration::from_secs(1)));
        server.serve([].into_iter());
        assert!(matches!(ask(&mut watcher(&server)).outcome, Outcome::NoSuchName { .. }));
    }

    #[test]
    fn more_pods_than_a_datagram_has_room_for_are_told_by_tcp() {
        let server = NameServer::start().unwrap();
        server.serve((1..=200).map(|host| Ipv4Addr::new(127, 77, 0, host)));
        let mut watcher = watcher(&server);
        watcher.refresh(crate::report::now(), &Stop::new());
        assert_eq!(watcher.peers().len(), 200);
    }
}
