//! What is done without an answer, or with one that denies everything.

use std::time::{Duration, Instant};

use headcast_peers::{DnsQuery, Limits, LookupError, Outcome, Source, Watcher};
use hickory_resolver::proto::{op::ResponseCode, rr::RecordType};

use crate::{
    Rig, SVC, records,
    server::{Reply, Server, a, cname},
};

#[test]
fn a_circle_of_cnames_is_a_failure() {
    let mut rig = Rig::new();
    rig.server.set_both(SVC, records([cname(SVC, 9, "b.test")]));
    rig.server.set_both("b.test", records([cname("b.test", 9, SVC)]));
    let Outcome::Failed(LookupError::Malformed(what)) = rig.refresh().outcome else {
        panic!("not malformed")
    };
    assert!(what.contains("circle"), "{what}");
    rig.server.set_both(SVC, records([cname(SVC, 9, "b.test"), cname("b.test", 9, SVC)]));
    assert!(matches!(rig.refresh().outcome, Outcome::Failed(LookupError::Malformed(_))));
}

#[test]
fn a_failing_server_changes_nothing_and_the_age_grows() {
    for (reply, error) in [
        (Reply::Code(ResponseCode::ServFail), LookupError::ServFail),
        (Reply::Code(ResponseCode::Refused), LookupError::Refused),
    ] {
        let mut rig = Rig::new();
        rig.server.set_a(SVC, [1, 2]);
        rig.refresh();
        rig.server.set_both(SVC, reply);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let report = rig.refresh();
            assert_eq!(report.outcome, Outcome::Failed(error.clone()));
            waits.push(report.next);
        }
        assert_eq!(rig.watcher.peers().len(), 2);
        assert!(rig.age() > Duration::from_secs(15), "{:?}", rig.age());
        assert!(
            waits[0] < Duration::from_millis(300) && waits[7] >= Duration::from_millis(4500),
            "{waits:?}"
        );
        rig.server.set_a(SVC, [1, 2]);
        rig.server.set(SVC, RecordType::AAAA, Reply::Code(ResponseCode::NoError));
        assert_eq!(rig.refresh().outcome, Outcome::Unchanged);
        assert!(rig.age() < Duration::from_secs(5));
    }
}

#[test]
fn a_server_that_sends_nonsense_is_not_believed() {
    for reply in [Reply::Garbage, Reply::WrongId(vec![a(SVC, 5, 66)]), Reply::Silence] {
        let mut rig = Rig::impatient();
        rig.server.set_a(SVC, [1, 2]);
        rig.refresh();
        rig.server.set_both(SVC, reply.clone());
        let outcome = rig.refresh().outcome;
        match reply {
            Reply::Garbage => {
                assert!(matches!(outcome, Outcome::Failed(LookupError::Malformed(_))), "{outcome:?}")
            }
            _ => assert_eq!(outcome.to_string(), "DNS server did not answer within 0.3 s"),
        }
        assert_eq!(rig.watcher.peers().len(), 2);
    }
}

#[test]
fn a_name_that_vanishes_is_held_for_three_answers() {
    let mut rig = Rig::new();
    rig.server.set_a(SVC, [1, 2]);
    rig.refresh();
    rig.server.forget(SVC);
    for held_for in 1..=3 {
        assert_eq!(rig.refresh().outcome, Outcome::NoSuchName { name: SVC.to_owned(), held_for });
        assert_eq!(rig.watcher.peers().len(), 2);
    }
    let report = rig.refresh();
    assert_eq!(
        (report.outcome, report.removed.len()),
        (Outcome::NoSuchName { name: SVC.to_owned(), held_for: 0 }, 2)
    );
    assert!(rig.watcher.peers().is_empty());
    assert!(report.next <= Duration::from_millis(1100), "the first pod to come is found soon");
}

#[test]
fn an_empty_answer_is_held_for_three_answers() {
    let mut rig = Rig::new();
    rig.server.set_a(SVC, [1, 2]);
    rig.refresh();
    rig.server.set_a(SVC, []);
    for held_for in 1..=3 {
        assert_eq!(
            rig.refresh().outcome,
            Outcome::Empty { name: SVC.to_owned(), records: "A or AAAA", held_for }
        );
    }
    assert_eq!(rig.watcher.peers().len(), 2);
    rig.refresh();
    assert!(rig.watcher.peers().is_empty());
}

#[test]
fn the_first_refresh_can_tell_a_person_what_is_wrong() {
    let mut rig = Rig::impatient();
    assert_eq!(rig.refresh().outcome.to_string(), format!("no such host {SVC} (NXDOMAIN)"));
    rig.server.set(SVC, RecordType::TXT, Reply::Code(ResponseCode::NoError));
    assert_eq!(rig.refresh().outcome.to_string(), format!("{SVC} exists but has no A or AAAA record"));
    rig.server.set_both(SVC, Reply::Code(ResponseCode::ServFail));
    assert_eq!(rig.refresh().outcome.to_string(), "DNS server answered SERVFAIL");
    rig.server.set_both(SVC, Reply::Code(ResponseCode::NotImp));
    assert!(rig.refresh().outcome.to_string().starts_with("DNS server answered "));
    assert!(rig.watcher.last_success().is_some(), "a denial with nobody to hold is a success");
}

#[test]
fn another_server_is_asked_when_the_first_fails() {
    let (broken, silent, working) = (Server::start(), Server::start(), Server::start());
    broken.set_both(SVC, Reply::Code(ResponseCode::ServFail));
    silent.set_both(SVC, Reply::Silence);
    working.set_a(SVC, [1]);
    let query = DnsQuery::new(SVC, 9000).unwrap().via([broken.addr, silent.addr, working.addr]);
    let limits = Limits { lookup_timeout: Duration::from_millis(900), ..Limits::default() };
    let mut rig = Rig::with(query.clone(), limits.clone());
    rig.watcher = Watcher::new(Source::Dns(query), limits).unwrap();
    assert_eq!(rig.hosts_after(), [1]);
    assert_eq!((broken.take_asked().len(), silent.take_asked().len()), (2, 2));
    assert_eq!(rig.hosts_after(), [1]);
    assert_eq!(
        broken.take_asked().len() + silent.take_asked().len(),
        0,
        "the one that answered is asked first"
    );
}

#[test]
fn stop_ends_a_lookup() {
    let mut rig = Rig::with(
        DnsQuery::new(SVC, 9000).unwrap(),
        Limits { lookup_timeout: Duration::from_secs(60), ..Limits::default() },
    );
    rig.server.set_both(SVC, Reply::Silence);
    let stopper = std::thread::spawn({
        let stop = rig.stop.clone();
        move || {
            stop.wait(Duration::from_millis(30));
            stop.stop();
        }
    });
    #[allow(clippy::disallowed_methods)]
    let begin = Instant::now();
    assert_eq!(rig.refresh().outcome, Outcome::Failed(LookupError::Stopped));
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "30 ms until the stop, 20 ms until it is noticed, and a busy machine"
    );
    stopper.join().unwrap();
}
