//! One question to the DNS servers: UDP, TCP if the answer is cut off, the next server if one fails, along
//! CNAMEs.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hickory_resolver::{
    net::{
        NetError,
        runtime::TokioRuntimeProvider,
        tcp::TcpClientStream,
        udp::UdpClientStream,
        xfer::{DnsHandle, DnsRequestSender, FirstAnswer},
    },
    proto::{
        op::{DnsRequest, DnsRequestOptions, DnsResponse, Query, ResponseCode},
        rr::{DNSClass, Name, RData, Record, RecordType},
    },
};
use tokio::time::{Instant, timeout_at};

use crate::LookupError;

/// The most CNAMEs that are followed for one name.
const CHAIN_MAX: usize = 8;

/// The largest UDP answer that is asked for, in bytes: one that no link fragments (RFC 9715).
const UDP_PAYLOAD: u16 = 1232;

/// Asks the same servers within the same time. Lives for one refresh, so that no state of a server or
/// connection outlasts it; nothing is cached.
pub(super) struct Asker {
    servers: Vec<SocketAddr>,
    /// The server that answered last, as an index.
    preferred: AtomicUsize,
    timeout: Duration,
    deadline: Instant,
    /// Owns the tasks that serve TCP connections, and ends them.
    provider: TokioRuntimeProvider,
}

/// What is known of one name and one type of record.
#[derive(Debug)]
pub(super) enum Known {
    /// There are records.
    Records(Records),
    /// The name exists without such a record; for how many seconds that may be believed.
    NoRecord(Option<u32>),
    /// The name does not exist; for how many seconds that may be believed.
    NoName(Option<u32>),
}

#[derive(Debug)]
pub(super) struct Records {
    /// At least one.
    pub(super) data: Vec<RData>,
    /// What the server sent along: often the addresses of SRV targets.
    pub(super) additional: Vec<Record>,
    /// The least TTL on the way to the records and of themselves, in seconds.
    pub(super) ttl: u32,
}

impl Asker {
    /// `preferred` is the index of the server to begin with.
    pub(super) fn new(servers: Vec<SocketAddr>, preferred: usize, timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout;
        Self {
            servers,
            preferred: preferred.into(),
            timeout,
            deadline,
            provider: TokioRuntimeProvider::new(),
        }
    }

    pub(super) fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    /// The records of `name`, found by following CNAMEs.
    pub(super) async fn lookup(&self, name: &Name, kind: RecordType) -> Result<Known, LookupError> {
        timeout_at(self.deadline, self.chase(name, kind))
            .await
            .unwrap_or(Err(LookupError::Timeout(self.timeout)))
    }

    async fn chase(&self, name: &Name, kind: RecordType) -> Result<Known, LookupError> {
        let mut at = name.clone();
        let mut ttl = u32::MAX;
        for _ in 0..CHAIN_MAX {
            let response = self.ask(&at, kind).await?;
            let end = follow(&response.answers, &at, &mut ttl)?;
            let negative_ttl = response.negative_ttl();
            let exists = response.response_code != ResponseCode::NXDomain;
            let message = response.into_message();
            let wanted = |record: &Record| {
                record.name == end && record.record_type() == kind && record.dns_class == DNSClass::IN
            };
            let records: Vec<Record> = message.answers.into_iter().filter(wanted).collect();
            if let Some(least) = records.iter().map(|record| record.ttl).min() {
                let data = records.into_iter().map(|record| record.data).collect();
                return Ok(Known::Records(Records {
                    data,
                    additional: message.additionals,
                    ttl: ttl.min(least),
                }));
            }
            match exists {
                false => return Ok(Known::NoName(negative_ttl)),
                true if end == at => return Ok(Known::NoRecord(negative_ttl)),
                true => at = end,
            }
        }
        Err(endless(name))
    }

    /// One question, to one server after the other until one answers it. To deny that something exists is an
    /// answer.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<DnsResponse, LookupError> {
        let first = self.preferred();
        let mut failed = LookupError::Other("there is no DNS server to ask".to_owned());
        for turn in 0..self.servers.len() {
            let index = (first + turn) % self.servers.len();
            match self.ask_server(self.servers[index], name, kind).await {
                Ok(response) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn ask_server(
        &self,
        server: SocketAddr,
        name: &Name,
        kind: RecordType,
    ) -> Result<DnsResponse, LookupError> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_payload_len = UDP_PAYLOAD;
        let query = Query::query(name.clone(), kind);
        let request = || DnsRequest::from_query(query.clone(), options);
        let failed = |error| self.explain(server, error);
        // A lost datagram is sent again after a third of a second, twice at most.
        let timeout = self.timeout / u32::try_from(self.servers.len()).unwrap_or(1).max(1);

        // The system picks the source port: it knows which ones services of this host may want, and picks by
        // chance.
        let mut udp = UdpClientStream::builder(server, self.provider.clone())
            .with_timeout(Some(timeout))
            .with_os_port_selection(true)
            .build();
        let mut response = udp.send_message(request()).first_answer().await.map_err(failed)?;
        if response.truncation {
            let tcp = TcpClientStream::exchange(server, None, timeout, None, self.provider.clone());
            response = tcp.await.map_err(failed)?.send(request()).first_answer().await.map_err(failed)?;
            if response.truncation || response.queries != [query.clone()] {
                return Err(LookupError::Malformed(format!(
                    "DNS server {server} sent a TCP answer that is cut off or not to the question"
                )));
            }
        }
        match response.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(response),
            ResponseCode::ServFail => Err(LookupError::ServFail),
            ResponseCode::Refused => Err(LookupError::Refused),
            code => Err(LookupError::Other(format!("DNS server answered {code}"))),
        }
    }

    fn explain(&self, server: SocketAddr, error: NetError) -> LookupError {
        match error {
            NetError::Timeout => LookupError::Timeout(self.timeout),
            NetError::Io(error) => LookupError::Io(format!("cannot ask DNS server {server}: {error}")),
            NetError::Proto(error) => {
                LookupError::Malformed(format!("DNS server {server} sent an answer that is not DNS: {error}"))
            }
            error => LookupError::Other(format!("cannot ask DNS server {server}: {error}")),
        }
    }
}

/// Where the CNAMEs of one answer lead from `name`. Lowers `ttl` to the least on the way.
fn follow(answers: &[Record], name: &Name, ttl: &mut u32) -> Result<Name, LookupError> {
    let mut at = name;
    for _ in 0..=CHAIN_MAX {
        let alias = answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *at => Some((&target.0, record.ttl)),
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else { return Ok(at.clone()) };
        *ttl = (*ttl).min(alias_ttl);
        at = target;
    }
    Err(endless(name))
}

fn endless(name: &Name) -> LookupError {
    LookupError::Malformed(format!(
        "the CNAME records of {name} go in a circle or on for more than {CHAIN_MAX} names"
    ))
}
