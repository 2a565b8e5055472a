//! Subscribers that answer, and a recorder that stores the answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Output;

use serde_json::Value;

use crate::recorder::Recorder;
use crate::running::Running;
use crate::support::{
    HEADCAST, Scratch, free_port, headcast, start, start_headcast, stderr, stdout, until, until_bound,
};

/// A subscriber that answers to `recorder` in the way that `how` says, and its port.
fn subscriber(recorder: &Recorder, options: &str, command: &[&str]) -> (Running, u16) {
    let port = free_port();
    let args = format!(
        "subscribe --listen 127.0.0.1:{port} --respond-to {} --respond-id 7 {options}",
        recorder.address()
    );
    let args: Vec<&str> = args.split_whitespace().chain(command.iter().copied()).collect();
    let running = start(HEADCAST, &args);
    until_bound(port);
    (running, port)
}

/// Publishes the lines of a text.
fn publish(port: u16, text: &str) {
    let mut publisher = start_headcast(&format!("publish --peers 127.0.0.1:{port}"));
    publisher.child().stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let output = publisher.wait();
    assert!(output.status.success(), "{}", stderr(&output));
}

/// The totals in the log.
fn totals(output: &Output) -> Value {
    let log = stderr(output);
    let totals = log.split("totals=").nth(1).and_then(|rest| rest.lines().next());
    serde_json::from_str(totals.unwrap_or_else(|| panic!("no totals: {log}"))).expect("JSON")
}

/// Waits for a line of the log.
fn until_logged(running: &mut Running, what: &str) {
    let log = BufReader::new(running.child().stderr.take().expect("a pipe"));
    let mut lines = log.lines();
    assert!(lines.any(|line| line.expect("text").contains(what)), "{what}");
    // Nobody may be left without a reader.
    std::thread::spawn(move || lines.for_each(drop));
}

#[test]
fn an_echo_comes_back_and_messages_are_printed_as_ever() {
    let recorder = Recorder::start();
    let (subscriber, port) = subscriber(&recorder, "--respond-with echo --output json --count 3", &[]);
    publish(port, "one\ntwo\nthree\n");
    assert_eq!(recorder.results(3), ["one", "two", "three"]);
    let output = subscriber.wait();
    assert!(output.status.success(), "{}", stderr(&output));
    let lines: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let count = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!((count("message"), count("totals")), (3, 1));
    let totals = lines.last().expect("totals");
    assert_eq!((&totals["answers"]["asked"], &totals["answers"]["answered"]), (&3.into(), &3.into()));
    let responses = &totals["responses"];
    assert_eq!((&responses["acknowledged"], &responses["unacknowledged"]), (&3.into(), &0.into()));
    assert_eq!(responses["id"], 7);
}

#[test]
fn a_command_answers_each_message_and_one_that_fails_leaves_it_unanswered() {
    let recorder = Recorder::start();
    let script = r#"read line; [ "$line" != bad ] || exit 3; echo "$HEADCAST_MESSAGE_STREAM/$HEADCAST_MESSAGE_SEQ.$HEADCAST_MESSAGE_PART $line""#;
    let (subscriber, port) = subscriber(
        &recorder,
        "--respond-with exec --respond-concurrency 2 --count 4",
        &["--", "sh", "-c", script],
    );
    publish(port, "one\ntwo\nbad\nfour\n");
    for (((seq, part), result), line) in recorder.responses(3).into_iter().zip(["one", "two", "four"]) {
        assert_eq!(result, format!("0/{seq}.{part} {line}\n"));
    }
    let output = subscriber.wait();
    assert!(output.status.success(), "a message without an answer is counted: {}", stderr(&output));
    assert_eq!(stdout(&output), "one\ntwo\nbad\nfour\n");
    let totals = totals(&output);
    assert_eq!((&totals["answers"]["answered"], &totals["answers"]["exited"]), (&3.into(), &1.into()));
    assert!(stderr(&output).contains("the command ended with code 3"), "{}", stderr(&output));
}

/// Answers by nothing but recvfrom and sendto.
const APPLICATION: &str = "
import socket, sys
family, address = sys.argv[1:]
if family == 'udp':
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('127.0.0.1', int(address)))
else:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(address)
s.settimeout(20)
print('ready', flush=True)
waiting = []
for _ in range(20):
    waiting.append(s.recvfrom(65536))
for message, sender in reversed(waiting):
    s.sendto(b'done with ' + message, sender)
";

#[test]
fn an_application_answers_in_any_order_by_plain_sendto() {
    let scratch = Scratch::new();
    let (udp, path) = (free_port().to_string(), scratch.path("app.sock").display().to_string());
    let text: String = (0..20).map(|n| format!("{n:02}\n")).collect();
    for (family, address, url) in
        [("udp", &udp, format!("udp://127.0.0.1:{udp}")), ("unix", &path, format!("unix://{path}"))]
    {
        let mut application = start("python3", &["-c", APPLICATION, family, address]);
        assert_eq!(application.lines().next().expect("a line").expect("text"), "ready");
        let recorder = Recorder::start();
        let options = format!("--respond-with forward --forward {url} --count 20");
        let (subscriber, port) = subscriber(&recorder, &options, &[]);
        publish(port, &text);
        let expected: Vec<String> = (0..20).map(|n| format!("done with {n:02}")).collect();
        assert_eq!(recorder.results(20), expected);
        let output = subscriber.wait();
        assert!(output.status.success(), "{}", stderr(&output));
        let totals = totals(&output);
        assert_eq!((&totals["answers"]["answered"], &totals["forward_failed"]), (&20.into(), &0.into()));
        assert!(application.wait().status.success());
    }
}

#[test]
fn sigterm_waits_until_everything_is_acknowledged() {
    let recorder = Recorder::silent();
    let (mut subscriber, port) = subscriber(&recorder, "--respond-with echo", &[]);
    publish(port, "one\ntwo\n");
    recorder.results(2);
    subscriber.signal(nix::sys::signal::Signal::SIGTERM);
    until_logged(&mut subscriber, "waiting for answers, and for the recorder to store them");
    assert!(subscriber.child().try_wait().expect("a status").is_none());
    recorder.acknowledge();
    assert!(subscriber.wait().status.success());
}

#[test]
fn sigterm_lets_commands_finish_that_are_under_way_and_those_that_wait() {
    let scratch = Scratch::new();
    let gate = scratch.path("gate").display().to_string();
    let script = format!("touch {gate}.waits; until [ -e {gate} ]; do sleep 0.01; done; cat");
    let recorder = Recorder::start();
    let options = "--respond-with exec --respond-concurrency 1 --respond-timeout 60s --output json";
    let (mut subscriber, port) = subscriber(&recorder, options, &["--", "sh", "-c", &script]);
    publish(port, "one\ntwo\n");
    let mut lines = subscriber.lines();
    for _ in 0..2 {
        lines
            .find(|line| line.as_ref().is_ok_and(|line| line.contains("message")))
            .expect("a message")
            .expect("text");
    }
    until("the first command runs", || std::path::Path::new(&format!("{gate}.waits")).exists());
    subscriber.signal(nix::sys::signal::Signal::SIGTERM);
    until_logged(&mut subscriber, "unanswered=2");
    std::fs::write(&gate, "").expect("written");
    assert_eq!(recorder.results(2), ["one", "two"]);
    assert!(subscriber.wait().status.success());
}

#[test]
fn responses_that_nobody_acknowledges_are_a_failure_that_says_what_to_do() {
    let recorder = Recorder::silent();
    let options = "--respond-with echo --respond-drain 300ms --count 2";
    let (subscriber, port) = subscriber(&recorder, options, &[]);
    publish(port, "one\ntwo\n");
    let output = subscriber.wait();
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    let line = error.lines().find(|line| line.starts_with("error: ")).expect("a line");
    for part in [
        "2 of 2 responses were not acknowledged within 300ms",
        &recorder.address().to_string(),
        "--respond-drain",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(stdout(&output), "one\ntwo\n");
}

#[test]
fn responses_beyond_what_may_be_held_are_refused_and_counted() {
    let recorder = Recorder::silent();
    let options = "--respond-with echo --respond-queue 1 --respond-drain 100ms --count 3";
    let (subscriber, port) = subscriber(&recorder, options, &[]);
    publish(port, "one\ntwo\nthree\n");
    let output = subscriber.wait();
    assert_eq!(output.status.code(), Some(1));
    let log = stderr(&output);
    assert!(log.contains("1 of 1 responses were not acknowledged"), "{log}");
    let told = log.lines().filter(|line| line.contains("messages are left without a response")).count();
    assert_eq!(told, 1, "at once, and then once a second at most: {log}");
    let answers = &totals(&output)["answers"];
    let of = |name: &str| answers[name].as_u64().expect("a number");
    assert_eq!((of("asked"), of("answered"), of("queue_full")), (3, 1, 2));
}

#[test]
fn commands_that_do_not_end_in_time_are_killed_and_named() {
    let recorder = Recorder::start();
    let options = "--respond-with exec --respond-timeout 60s --respond-drain 300ms --count 1";
    let (subscriber, port) = subscriber(&recorder, options, &["--", "sleep", "1000"]);
    publish(port, "one\n");
    let output = subscriber.wait();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("1 of 1 messages were not answered within 300ms"),
        "{}",
        stderr(&output)
    );
    assert_eq!(totals(&output)["answers"]["stopped"], 1);
}

#[test]
fn what_does_not_fit_together_on_the_command_line_is_told() {
    let to = "subscribe --listen 127.0.0.1:0 --respond-to 127.0.0.1:1";
    for (args, hint) in [
        (to.to_owned(), "--respond-with"),
        ("subscribe --respond-with echo".to_owned(), "--respond-to"),
        (format!("{to} --respond-with echo --raw"), "--raw"),
        (format!("{to} --respond-with exec"), "-- COMMAND"),
        (format!("{to} --respond-with echo -- cat"), "use exec"),
        ("subscribe -- cat".to_owned(), "--respond-with"),
        (format!("{to} --respond-with forward"), "--forward"),
        (format!("{to} --respond-with exec --respond-concurrency 0 -- cat"), "1..=1024"),
        (format!("{to} --respond-with exec --respond-timeout 0s -- cat"), "no time to answer"),
        (format!("{to} --respond-with echo --respond-timeout 5"), "2ms"),
        (format!("{to} --respond-with echo --respond-queue 0"), "1 to"),
        ("subscribe --respond-to name --respond-with echo".to_owned(), "NAME:PORT"),
        ("subscribe --respond-to name:1,127.0.0.1:1 --respond-with echo".to_owned(), "one name alone"),
        ("subscribe --respond-to 127.0.0.1:0 --respond-with echo".to_owned(), "1 to 65535"),
    ] {
        let output = headcast(&format!("{args} --log-level error"));
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args}: {error}");
        assert!(error.starts_with("error: ") && error.contains(hint), "{args}: {error}");
    }
    let output = headcast(&format!("{to} --respond-with exec --log-level error -- no-such-program-anywhere"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot run 'no-such-program-anywhere'"), "{}", stderr(&output));
}
