//! What is done with answers.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use headcast_peers::{DnsQuery, Limits, LookupError, Outcome, Stop, Watcher};
use hickory_resolver::proto::{
    op::ResponseCode,
    rr::{RData, Record, RecordType, rdata::A},
};

use crate::{
    Rig, SVC, records,
    server::{Reply, a, aaaa, cname, name_of, srv},
};

#[test]
fn the_addresses_of_a_service_are_its_peers_whatever_their_order() {
    let mut rig = Rig::new();
    rig.server.set_a(SVC, [3, 1, 2, 1]);
    let first = rig.refresh();
    assert_eq!(first.outcome, Outcome::Fresh);
    assert_eq!(first.ttl, Some(Duration::from_secs(5)));
    assert!(
        (Duration::from_millis(4050)..=Duration::from_millis(4950)).contains(&first.next),
        "{:?}",
        first.next
    );
    assert_eq!(first.added.len(), 3);
    rig.server.set_a(SVC, [2, 3, 1]);
    let second = rig.refresh();
    assert_eq!((second.outcome, second.changed), (Outcome::Unchanged, false));
    assert_eq!(rig.hosts_after(), [1, 2, 3]);
}

#[test]
fn nothing_is_cached() {
    let mut rig = Rig::new();
    rig.server.set_a(SVC, [1]);
    for turn in 0..4 {
        if turn == 2 {
            rig.server.forget(SVC); // nor is a denial
        }
        rig.refresh();
        let mut asked = rig.server.take_asked();
        asked.sort();
        asked.dedup(); // a slow machine asks again
        assert_eq!(asked, [(name_of(SVC), RecordType::A, "udp"), (name_of(SVC), RecordType::AAAA, "udp")]);
    }
}

#[test]
fn both_families_are_peers() {
    let mut rig = Rig::new();
    rig.server.set_a(SVC, [1]);
    rig.server.set(SVC, RecordType::AAAA, records([aaaa(SVC, 3, 7)]));
    assert_eq!(rig.peers_after(), ["10.0.0.1:9000", "[2001:db8::7]:9000"]);
}

#[test]
fn a_family_that_fails_is_held_and_the_other_is_applied() {
    let mut rig = Rig::new();
    rig.server.set_a(SVC, [1, 2]);
    rig.server.set(SVC, RecordType::AAAA, records([aaaa(SVC, 5, 7)]));
    rig.refresh();
    rig.server.set(SVC, RecordType::A, Reply::Code(ResponseCode::ServFail));
    rig.server.set(SVC, RecordType::AAAA, records([aaaa(SVC, 5, 7), aaaa(SVC, 5, 8)]));
    let report = rig.refresh();
    assert_eq!(report.outcome, Outcome::Partial(LookupError::ServFail));
    assert_eq!(report.added, ["[2001:db8::8]:9000".parse::<SocketAddr>().unwrap()]);
    assert_eq!(rig.watcher.peers().len(), 4);
    assert!(report.next < Duration::from_millis(300), "a failure is retried soon: {:?}", report.next);
}

#[test]
fn an_unusable_or_excluded_address_is_no_peer() {
    let limits = Limits { exclude: vec![Ipv4Addr::new(10, 0, 0, 2).into()], ..Limits::default() };
    let mut rig = Rig::with(DnsQuery::new(SVC, 9000).unwrap(), limits);
    let bad = [A::new(0, 0, 0, 0), A::new(224, 0, 0, 1), A::new(255, 255, 255, 255)];
    let bad = bad.map(|address| Record::from_rdata(name_of(SVC), 5, RData::A(address)));
    rig.server.set(SVC, RecordType::A, records(bad.into_iter().chain([a(SVC, 5, 1), a(SVC, 5, 2)])));
    assert_eq!(rig.hosts_after(), [1]);
}

#[test]
fn a_pod_that_is_alone_and_excluded_has_no_peers_and_no_error() {
    let limits = Limits { exclude: vec![Ipv4Addr::new(10, 0, 0, 2).into()], ..Limits::default() };
    let mut rig = Rig::with(DnsQuery::new(SVC, 9000).unwrap(), limits);
    rig.server.set_a(SVC, [2]);
    assert_eq!(rig.refresh().outcome, Outcome::Unchanged);
    assert!(rig.watcher.peers().is_empty());
}

#[test]
fn the_peers_beyond_the_limit_are_counted() {
    let mut rig = Rig::with(DnsQuery::new(SVC, 9000).unwrap(), Limits { max_peers: 3, ..Limits::default() });
    rig.server.set_a(SVC, 1..=5);
    assert_eq!(rig.refresh().over_limit, 2);
    assert_eq!(rig.hosts_after(), [1, 2, 3]);
}

#[test]
fn srv_records_give_each_pod_its_own_port() {
    const NAME: &str = "_headcast._udp.pods.ns.svc.cluster.test";
    let mut rig = Rig::with(DnsQuery::srv(NAME).unwrap(), Limits::default());
    let pods =
        [srv(NAME, 30, "p1.test", 7001), srv(NAME, 30, "p2.test", 7002), srv(NAME, 30, "p2.test", 7003)];
    // Of p1 the address is sent along, that of p2 has to be asked for.
    rig.server.set(
        NAME,
        RecordType::SRV,
        Reply::Records(pods.to_vec(), vec![a("p1.test", 20, 1), a("other.test", 1, 9)]),
    );
    rig.server.set("p2.test", RecordType::A, records([a("p2.test", 10, 2)]));
    let report = rig.refresh();
    assert_eq!(report.ttl, Some(Duration::from_secs(10)));
    assert_eq!(rig.peers_after(), ["10.0.0.1:7001", "10.0.0.2:7002", "10.0.0.2:7003"]);
    assert!(rig.server.take_asked().iter().all(|(name, ..)| *name != name_of("p1.test")));

    // A target that cannot be resolved is no proof that its pods are gone.
    rig.server.set_both("p2.test", Reply::Code(ResponseCode::ServFail));
    for _ in 0..5 {
        assert_eq!(rig.refresh().outcome, Outcome::Partial(LookupError::ServFail));
    }
    assert_eq!(rig.watcher.peers().len(), 3);

    rig.server.set(NAME, RecordType::SRV, Reply::Code(ResponseCode::NoError));
    assert_eq!(rig.refresh().outcome.to_string(), format!("{NAME} exists but has no SRV record"));
}

#[test]
fn hundreds_of_srv_targets_are_resolved_at_once() {
    const NAME: &str = "_headcast._udp.many.test";
    let mut rig = Rig::with(DnsQuery::srv(NAME).unwrap(), Limits::default());
    let target = |host: u8| format!("p{host}.test");
    rig.server.set(NAME, RecordType::SRV, records((1..=200).map(|host| srv(NAME, 5, &target(host), 7000))));
    for host in 1..=200 {
        rig.server.set_a(&target(host), [host]);
    }
    assert_eq!(rig.refresh().added.len(), 200);
}

#[test]
fn a_cname_chain_is_followed_and_its_least_ttl_counts() {
    let mut rig = Rig::new();
    // The first two links in one answer, the rest to be asked for.
    let links = [cname(SVC, 9, "b.test"), cname("b.test", 2, "c.test")];
    rig.server.set_both(SVC, records(links));
    rig.server.set(
        "c.test",
        RecordType::A,
        records([cname("c.test", 8, "d.test"), a("d.test", 6, 4), a("stray.test", 1, 99)]),
    );
    let report = rig.refresh();
    assert_eq!(report.outcome, Outcome::Fresh);
    assert_eq!(report.ttl, Some(Duration::from_secs(2)));
    assert_eq!(rig.hosts_after(), [4], "a record of another name is no answer");
}

#[test]
fn a_thousand_addresses_come_over_tcp_after_a_truncated_answer() {
    let mut rig = Rig::new();
    let pod = |index: u16| {
        Record::from_rdata(name_of(SVC), 5, RData::A(A(Ipv4Addr::from(0x0a01_0000 + u32::from(index)))))
    };
    rig.server.set(SVC, RecordType::A, records((1..=1000).map(pod)));
    assert_eq!(rig.refresh().added.len(), 1000);
    assert!(rig.server.take_asked().contains(&(name_of(SVC), RecordType::A, "tcp")));
    assert_eq!(rig.refresh().outcome, Outcome::Unchanged);
}

#[test]
fn answers_that_alternate_between_old_and_new_remove_nobody() {
    let mut rig = Rig::new();
    rig.server.set_a(SVC, [1, 2, 3]);
    rig.refresh();
    for turn in 0..12 {
        rig.server.set_a(SVC, if turn % 2 == 0 { [3, 4, 5] } else { [1, 2, 3] });
        assert_eq!(rig.hosts_after(), [1, 2, 3, 4, 5]);
    }
}

#[test]
fn a_pod_appears_and_disappears_and_comes_back() {
    let mut rig = Rig::new();
    let steps: [(&[u8], &[u8]); 6] = [
        (&[1, 2, 3], &[1, 2, 3]),
        (&[1, 2, 3, 4], &[1, 2, 3, 4]),
        (&[1, 2, 3], &[1, 2, 3, 4]),
        (&[1, 2, 3], &[1, 2, 3]),
        (&[1, 2, 3, 4], &[1, 2, 3, 4]),
        (&[1, 2, 3], &[1, 2, 3, 4]),
    ];
    for (answered, peers) in steps {
        rig.server.set_a(SVC, answered.iter().copied());
        assert_eq!(rig.hosts_after(), peers);
    }
}

#[test]
fn a_watcher_can_move_to_the_control_thread() {
    fn is_send<T: Send>() {}
    is_send::<Watcher>();
    is_send::<Stop>();
}
