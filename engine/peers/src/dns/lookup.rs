//! One refresh: the candidates for the name, the record types, and for SRV the addresses of the targets.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::task::JoinSet;

use super::{
    DnsQuery, System,
    ask::{Asker, Known, Records},
};
use crate::{LookupError, policy::Answer};

/// The most SRV targets that are resolved at the same time, by two questions each.
const TARGETS_AT_ONCE: usize = 32;

/// What one refresh brought.
#[derive(Debug)]
pub(crate) struct Told {
    /// For the policy: A and AAAA, or SRV alone.
    pub(crate) families: Vec<Answer>,
    /// The families taken together.
    pub(crate) verdict: Verdict,
    /// The least TTL of the records that were found; of the denial if none were.
    pub(crate) ttl: Option<Duration>,
}

#[derive(Debug)]
pub(crate) enum Verdict {
    Found,
    Partial(LookupError),
    NoRecord,
    NoName,
    Failed(LookupError),
}

/// What is known of each record type that was asked for.
type Found = Vec<Result<Known, LookupError>>;

pub(super) async fn look_up(
    asker: &Arc<Asker>,
    query: &DnsQuery,
    system: &System,
    found_as: &mut Option<Name>,
) -> Told {
    let candidates = query.candidates(&system.search, system.ndots);
    let Some(port) = query.port() else {
        let mut found = walk(asker, candidates, &[RecordType::SRV], found_as).await;
        return match found.pop() {
            Some(Ok(Known::Records(records))) => targets(asker, records).await,
            other => Told::sum_up(&other.into_iter().collect::<Found>(), 0),
        };
    };
    Told::sum_up(&walk(asker, candidates, &[RecordType::A, RecordType::AAAA], found_as).await, port)
}

/// Asks for the candidates one after the other until one has records.
///
/// The one that had records last is asked first, and alone if it still has them or the servers fail: a
/// failure must not lead on to the next name of the search list, which may be another service. Nor does a
/// failure of one candidate count as 'no such name' in the end.
async fn walk(
    asker: &Asker,
    mut candidates: Vec<Name>,
    kinds: &[RecordType],
    found_as: &mut Option<Name>,
) -> Found {
    let known = found_as.take().and_then(|name| candidates.iter().position(|candidate| *candidate == name));
    if let Some(index) = known {
        candidates[..=index].rotate_right(1);
    }
    let mut told = Found::new();
    for (turn, name) in candidates.into_iter().enumerate() {
        let answers = ask_all(asker, &name, kinds).await;
        let has_records = answers.iter().any(|answer| matches!(answer, Ok(Known::Records(_))));
        let failed = answers.iter().any(Result::is_err);
        if has_records || (failed && turn == 0 && known.is_some()) {
            *found_as = Some(name);
            return answers;
        }
        told = if turn == 0 { answers } else { told.into_iter().zip(answers).map(weightier).collect() };
    }
    told
}

/// The one of two answers without records that says more.
fn weightier((a, b): (Result<Known, LookupError>, Result<Known, LookupError>)) -> Result<Known, LookupError> {
    match (&a, &b) {
        (Err(_), _) | (_, Ok(Known::NoName(_))) => a,
        (_, Err(_)) | (Ok(Known::NoName(_)), _) => b,
        _ => a,
    }
}

async fn ask_all(asker: &Asker, name: &Name, kinds: &[RecordType]) -> Found {
    if let [one, two] = *kinds {
        let (one, two) = tokio::join!(asker.lookup(name, one), asker.lookup(name, two));
        return vec![one, two];
    }
    let mut found = Found::new();
    for &kind in kinds {
        found.push(asker.lookup(name, kind).await);
    }
    found
}

/// The addresses of the targets of SRV records, each with its port.
///
/// A server that sends addresses along is believed and not asked again: the DNS of Kubernetes sends those of
/// all pods.
async fn targets(asker: &Arc<Asker>, srv: Records) -> Told {
    let mut ports: BTreeMap<Name, Vec<u16>> = BTreeMap::new();
    for data in &srv.data {
        // The root as a target means that there is no such service (RFC 2782).
        if let RData::SRV(srv) = data
            && !srv.target.is_root()
        {
            ports.entry(srv.target.clone()).or_default().push(srv.port);
        }
    }
    let mut seconds = srv.ttl;
    let mut failed = None;
    let mut addresses: BTreeMap<Name, Vec<IpAddr>> = BTreeMap::new();
    for Record { name, data, ttl, .. } in &srv.additional {
        if let Some(ip) = ip(data).filter(|_| ports.contains_key(name)) {
            addresses.entry(name.clone()).or_default().push(ip);
            seconds = seconds.min(*ttl);
        }
    }

    let unknown: Vec<Name> = ports.keys().filter(|name| !addresses.contains_key(*name)).cloned().collect();
    let mut unknown = unknown.into_iter();
    let mut asking = JoinSet::new();
    loop {
        while asking.len() < TARGETS_AT_ONCE
            && let Some(name) = unknown.next()
        {
            let asker = Arc::clone(asker);
            asking.spawn(async move {
                let found = ask_all(&asker, &name, &[RecordType::A, RecordType::AAAA]).await;
                (name, found)
            });
        }
        let Some(asked) = asking.join_next().await else { break };
        let Ok((name, found)) = asked else { continue }; // a lookup neither panics nor is aborted
        for known in found {
            match known {
                Ok(Known::Records(records)) => {
                    addresses.entry(name.clone()).or_default().extend(records.data.iter().filter_map(ip));
                    seconds = seconds.min(records.ttl);
                }
                Ok(Known::NoRecord(_) | Known::NoName(_)) => {}
                Err(error) => failed = Some(error),
            }
        }
    }

    let peers: Vec<SocketAddr> = addresses
        .iter()
        .flat_map(|(name, ips)| {
            ips.iter().flat_map(|&ip| ports[name].iter().map(move |&port| SocketAddr::new(ip, port)))
        })
        .collect();
    let (family, verdict) = match failed {
        None if peers.is_empty() => (Answer::Empty, Verdict::NoRecord),
        None => (Answer::Found(peers), Verdict::Found),
        Some(error) if peers.is_empty() => (Answer::Failed, Verdict::Failed(error)),
        Some(error) => (Answer::Incomplete(peers), Verdict::Partial(error)),
    };
    Told { families: vec![family], verdict, ttl: Some(Duration::from_secs(seconds.into())) }
}

fn ip(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    }
}

impl Told {
    /// Nothing, for this reason.
    pub(super) fn failed(families: usize, error: LookupError) -> Self {
        Self { families: vec![Answer::Failed; families], verdict: Verdict::Failed(error), ttl: None }
    }

    /// Addresses that all have the same port.
    fn sum_up(found: &[Result<Known, LookupError>], port: u16) -> Self {
        let family = |known: &Result<Known, LookupError>| match known {
            Ok(Known::Records(records)) => Answer::Found(
                records.data.iter().filter_map(ip).map(|ip| SocketAddr::new(ip, port)).collect(),
            ),
            Ok(Known::NoRecord(_) | Known::NoName(_)) => Answer::Empty,
            Err(_) => Answer::Failed,
        };
        let error = found.iter().find_map(|known| known.as_ref().err().cloned());
        let has_records = found.iter().any(|known| matches!(known, Ok(Known::Records(_))));
        let exists = found.iter().any(|known| matches!(known, Ok(Known::NoRecord(_))));
        let verdict = match error {
            None if has_records => Verdict::Found,
            None if exists => Verdict::NoRecord,
            None => Verdict::NoName,
            Some(error) if has_records => Verdict::Partial(error),
            Some(error) => Verdict::Failed(error),
        };
        let ttl = |known: &Result<Known, LookupError>| match known {
            Ok(Known::Records(records)) => Some(records.ttl),
            // That a family has no record is no reason to ask for the other sooner.
            Ok(Known::NoRecord(ttl) | Known::NoName(ttl)) if !has_records => *ttl,
            _ => None,
        };
        let ttl = found.iter().filter_map(ttl).min();
        Self {
            families: found.iter().map(family).collect(),
            verdict,
            ttl: ttl.map(|s| Duration::from_secs(s.into())),
        }
    }
}

#[cfg(test)]
#[path = "../../tests/dns/server.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "it is shared with the integration tests")]
mod server;

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::ResponseCode::{NXDomain, NoError, Refused, ServFail};

    use super::{
        server::{Reply, Server, name_of},
        *,
    };

    /// Asks for the relative name `svc` with the search list `near.test far.test`.
    fn ask(server: &Server, found_as: &mut Option<Name>) -> Told {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let query = DnsQuery::new("svc", 9000).unwrap();
        let system = System {
            servers: vec![server.addr],
            search: vec![name_of("near.test"), name_of("far.test")],
            ndots: 2,
        };
        runtime.block_on(async {
            let asker = Arc::new(Asker::new(system.servers.clone(), 0, Duration::from_secs(2)));
            look_up(&asker, &query, &system, found_as).await
        })
    }

    fn asked(server: &Server) -> Vec<String> {
        let mut names: Vec<String> = server.take_asked().iter().map(|(name, ..)| name.to_string()).collect();
        names.dedup();
        names
    }

    #[test]
    fn the_first_candidate_with_records_is_taken_and_asked_alone_from_then_on() {
        let (server, mut found_as) = (Server::start(), None);
        server.set_a("svc.far.test", [1]);
        assert!(matches!(ask(&server, &mut found_as).verdict, Verdict::Found));
        assert_eq!(asked(&server), ["svc.near.test.", "svc.far.test."]);
        ask(&server, &mut found_as);
        assert_eq!(asked(&server), ["svc.far.test."]);
        // Only when it is gone are the others asked again.
        server.forget("svc.far.test");
        server.set_a("svc", [2]);
        assert!(matches!(ask(&server, &mut found_as).verdict, Verdict::Found));
        assert_eq!(asked(&server), ["svc.far.test.", "svc.near.test.", "svc."]);
    }

    #[test]
    fn a_failure_of_the_name_that_had_records_does_not_lead_to_another_service() {
        let (server, mut found_as) = (Server::start(), None);
        server.set_a("svc.near.test", [1]);
        server.set_a("svc.far.test", [2]);
        ask(&server, &mut found_as);
        server.set_both("svc.near.test", Reply::Code(ServFail));
        let told = ask(&server, &mut found_as);
        assert!(matches!(told.verdict, Verdict::Failed(LookupError::ServFail)));
        assert_eq!(told.families, [Answer::Failed, Answer::Failed]);
    }

    #[test]
    fn a_failure_on_the_search_list_is_not_taken_for_an_absence() {
        let (server, mut found_as) = (Server::start(), None);
        server.set_both("svc.near.test", Reply::Code(Refused));
        assert!(matches!(ask(&server, &mut found_as).verdict, Verdict::Failed(LookupError::Refused)));
        server.set_both("svc.near.test", Reply::Code(NXDomain));
        assert!(matches!(ask(&server, &mut found_as).verdict, Verdict::NoName));
        server.set_both("svc.near.test", Reply::Code(NoError));
        assert!(matches!(ask(&server, &mut found_as).verdict, Verdict::NoRecord));
    }
}
