//! The program itself, killed and restarted.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{HEADCAST, Lab, NAME, until};

/// The messages of `headcast subscribe --output json`.
fn messages(output: &[u8]) -> Vec<Value> {
    let lines = String::from_utf8_lossy(output);
    let values = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    values.filter(|value| value["event"] == "message").collect()
}

/// The sequences of each (publisher, session), in order: delivery is at once, whatever overtakes what.
fn by_session(messages: &[Value]) -> BTreeMap<(u64, String), Vec<u64>> {
    let mut sessions: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for message in messages {
        let session = message["session"].as_str().expect("a session").to_owned();
        let key = (message["publisher"].as_u64().expect("a number"), session);
        sessions.entry(key).or_default().push(message["seq"].as_u64().expect("a number"));
    }
    sessions.values_mut().for_each(|sequences| sequences.sort_unstable());
    sessions
}

fn subscribe(lab: &Lab, more: &str) -> crate::support::Running {
    let address = lab.address(1);
    let running = lab.headcast("pods", &format!("subscribe --listen {address}:12000 --output json {more}"));
    until("the subscriber listens", || {
        let sockets = lab.output("pods", "ss", "-Hlun");
        String::from_utf8_lossy(&sockets.stdout).contains(&format!("{address}:12000"))
    });
    running
}

#[test]
fn after_a_kill_subscribers_go_on_with_the_new_session_at_once() {
    let lab = Lab::up("--pods 1");
    let subscriber = subscribe(&lab, "");
    let publish = |message: &str| {
        lab.headcast(
            "publisher",
            &format!("publish --to {NAME}:12000 --packing off --message {message} --repeat 0 --rate 500"),
        )
    };
    let mut first = publish("one");
    std::thread::sleep(Duration::from_secs(1));
    first.signal(Signal::SIGKILL);
    first.wait();
    let second = publish("two");
    std::thread::sleep(Duration::from_secs(1));
    assert!(second.terminate().status.success());
    let output = subscriber.terminate();
    assert!(output.status.success());

    let messages = messages(&output.stdout);
    let sessions = by_session(&messages);
    assert_eq!(sessions.len(), 2, "{:?}", sessions.keys());
    let publishers: Vec<_> = sessions.keys().map(|(publisher, _)| publisher).collect();
    assert_eq!(publishers[0], publishers[1], "the number of a publisher outlives it");
    for sequences in sessions.values() {
        let expected: Vec<u64> = (1..=sequences.len() as u64).collect();
        assert_eq!(*sequences, expected, "from the first message on, without a gap");
    }
    let texts: Vec<_> = messages.iter().map(|message| message["payload"].as_str()).collect();
    assert!(texts.is_sorted(), "nothing of the old session after the new one");
}

#[test]
fn two_publishers_on_one_host_stay_apart() {
    let lab = Lab::up("--pods 1");
    let subscriber = subscribe(&lab, "");
    let publish = |n: u64| {
        lab.headcast(
            "publisher",
            &format!("publish --to {NAME}:12000 --packing off --message {n} --repeat 500 --rate 1000"),
        )
    };
    for running in [publish(1), publish(2)] {
        assert!(running.wait().status.success());
    }
    let messages = messages(&subscriber.terminate().stdout);
    let sessions = by_session(&messages);
    assert_eq!(sessions.len(), 2);
    for sequences in sessions.values() {
        assert_eq!(*sequences, (1..=500).collect::<Vec<u64>>());
    }
    for (key, _) in sessions {
        let mut texts = messages.iter().filter(|m| m["publisher"] == key.0).map(|m| m["payload"].clone());
        let first = texts.next();
        assert!(texts.all(|text| Some(text) == first), "each publisher's messages are its own");
    }
}

#[test]
fn resolve_shows_changes_as_they_come() {
    let lab = Lab::up("--pods 2");
    // In a namespace that has no DNS server in its configuration: the option names one.
    let mut watching =
        lab.headcast("pods", &format!("resolve {NAME}:12000 --watch --json --dns-server 10.78.0.53:53"));
    let mut lines = watching.lines();
    let mut next =
        || serde_json::from_str::<Value>(&lines.next().expect("a line").expect("text")).expect("JSON");
    let first = next();
    assert_eq!(
        (&first["peers"], &first["ttl_seconds"]),
        (&json!(["10.77.0.1:12000", "10.77.0.2:12000"]), &json!(1))
    );
    lab.run("dns del 10.77.0.2");
    let (change, gone) = (next(), json!(["10.77.0.2:12000"]));
    assert_eq!((&change["removed"], &change["added"]), (&gone, &json!([])));
    lab.run("dns add 10.77.0.2");
    assert_eq!(next()["added"], gone);
    lab.run("dns fail servfail");
    assert_eq!(next()["trouble"], "DNS server answered SERVFAIL");
    assert!(watching.terminate().status.success());
}

#[test]
fn a_service_that_does_not_exist_is_a_failure_that_says_so() {
    let lab = Lab::up("--pods 1");
    for (args, what) in [
        ("publish --to nosuch:12000 --message x", "no such host nosuch"),
        ("publish --to nosuch.demo.svc.cluster.local.:12000 --message x", "NXDOMAIN"),
        ("resolve nosuch:12000", "no such host nosuch"),
    ] {
        let output = lab.output("publisher", HEADCAST, &format!("{args} --log-level error"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args}: {error}");
        assert!(
            error.starts_with("error: ") && error.contains(what) && error.lines().count() == 1,
            "{args}: {error}"
        );
    }
    lab.run("dns stop --drop");
    let output = lab.output(
        "publisher",
        HEADCAST,
        &format!("publish --to {NAME}:12000 --packing off --message x --log-level error"),
    );
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("did not answer within"), "{error}");
}

#[test]
fn a_message_that_reaches_nobody_is_a_failure_that_says_why() {
    let lab = Lab::up("--pods 1");
    lab.run("unreachable 10.77.0.1");
    let output = lab.output(
        "publisher",
        HEADCAST,
        &format!("publish --to {NAME}:12000 --packing off --message x --log-level error"),
    );
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains("no message could be sent to anybody; 10.77.0.1:12000: No route to host"),
        "{error}"
    );
}

#[test]
fn srv_records_give_each_pod_its_port() {
    let lab = Lab::up("--pods 2 --no-records");
    let update: String = (1..=2)
        .map(|pod| {
            let address = lab.address(pod);
            format!(
                "update add pod-{pod}.{NAME}. 1 A {address}\nupdate add _udp._udp.{NAME}. 1 SRV 0 50 {} pod-{pod}.{NAME}.\n",
                13_000 + pod
            )
        })
        .collect();
    let mut command = std::process::Command::new("sh");
    let words = lab.lab_words("dns update");
    command.args(["-c", &format!("printf '%s' \"$1\" | {words}"), "sh", &update]);
    assert!(command.status().expect("it runs").success());
    let output = lab.output("publisher", HEADCAST, &format!("resolve --srv _udp._udp.{NAME}"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("+ 10.77.0.1:13001\n+ 10.77.0.2:13002\n= 2 peers"),
        "{text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
