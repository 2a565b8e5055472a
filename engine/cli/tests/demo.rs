//! `headcast demo` as a user runs it.

use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// One at a time: each promises that what is published arrives, which a machine that does five of them at once may break.
static ONE: Mutex<()> = Mutex::new(());

fn demo(options: &[&str]) -> Output {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    Command::new(env!("CARGO_BIN_EXE_headcast"))
        .arg("demo")
        .args(options)
        .output()
        .expect("a program that starts")
}

/// The JSON object of a demo that kept its promise.
fn kept(options: &[&str]) -> Value {
    let output = demo(&[options, &["--json"]].concat());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

fn count(totals: &Value, name: &str) -> u64 {
    totals[name].as_u64().unwrap_or_else(|| panic!("no count {name} in {totals}"))
}

#[test]
fn pods_come_and_go_and_nothing_is_lost_but_on_purpose() {
    let totals = kept(&["--duration", "4s", "--peers", "6", "--rate", "500", "--loss", "20", "--seed", "1"]);
    let count = |name| count(&totals, name);
    assert_eq!(totals["promise_kept"], true);
    assert_eq!((count("lost_otherwise"), count("delivered_twice"), count("altered")), (0, 0, 0));
    assert_eq!(count("owed"), count("delivered") + count("lost_on_purpose"));
    assert!(count("delivered") > 0 && count("rescued") > 0 && count("lost_on_purpose") > 0, "{totals}");
    assert_eq!((count("pods_at_start"), count("pods_joined"), count("pods_left")), (4, 2, 1));
    assert!(count("peer_sets") > 1, "the publisher noticed: {totals}");
    assert!(totals["latency_us"]["p50"].as_f64().expect("a number") > 0.0);
}

#[test]
fn what_pods_answer_is_stored_once_and_a_liar_is_found_out() {
    let options = ["--duration", "2s", "--peers", "6", "--rate", "500", "--loss", "10", "--seed", "1"];
    let honest = kept(&options);
    let recorder = |totals: &Value, name: &str| count(&totals["recorder"], name);
    for (one, other) in [("rows", "answered"), ("responses", "answers")] {
        assert_eq!(recorder(&honest, one), recorder(&honest, other), "{honest}");
    }
    assert!(recorder(&honest, "rows") >= 90, "{honest}");
    assert!(recorder(&honest, "dropped_on_purpose") > 0 && recorder(&honest, "sent_again") > 0, "{honest}");
    assert_eq!((recorder(&honest, "divergent_rows"), recorder(&honest, "unacknowledged")), (0, 0));
    let lying = kept(&[&options[..], &["--liar"]].concat());
    // The liar gets nearly all messages: of two copies one in a hundred loses both.
    assert!(recorder(&lying, "divergent_rows") * 10 >= recorder(&lying, "rows") * 8, "{lying}");
}

#[test]
fn when_everything_is_dropped_on_purpose_nothing_arrives_and_no_promise_is_broken() {
    let totals = kept(&["--duration", "1s", "--peers", "2", "--rate", "200", "--loss", "100"]);
    assert_eq!((count(&totals, "delivered"), count(&totals, "lost_otherwise")), (0, 0));
    assert!(count(&totals, "lost_on_purpose") > 0);
    assert!(totals["latency_us"].is_null());
}

#[test]
fn the_same_seed_loses_the_same_datagrams() {
    let run =
        || kept(&["--duration", "300ms", "--peers", "2", "--rate", "0.001", "--loss", "50", "--seed", "3"]);
    let names = ["published", "delivered", "rescued", "lost_on_purpose", "dropped_on_purpose"];
    let [one, other] = [run(), run()].map(|totals| names.map(|name| count(&totals, name)));
    assert_eq!(one, other);
    assert_eq!(one[0], 1);
}

#[test]
fn without_json_it_explains_itself() {
    let output = demo(&["--duration", "1s", "--peers", "30", "--rate", "50", "--loss", "0"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for part in ["headless-udp.demo.svc.cluster.local", "17 pods  all the time", "The promise was kept"] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no escape codes in a file");
}
