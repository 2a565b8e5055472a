//! The relay and the subscriber as sidecars of applications in any language.

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use serde_json::Value;

use crate::support::{
    HEADCAST, SOON, Scratch, free_port, headcast, start_headcast, stderr, stdout, until, until_bound,
};

#[test]
fn from_application_to_application_through_two_sidecars() {
    let scratch = Scratch::new();
    let (inlet, outlet, port) = (scratch.path("in.sock"), scratch.path("out.sock"), free_port());
    let application = UnixDatagram::bind(&outlet).expect("a socket");
    application.set_read_timeout(Some(SOON)).expect("a time-out");
    let subscriber =
        start_headcast(&format!("subscribe --listen 127.0.0.1:{port} --forward unix://{}", outlet.display()));
    until_bound(port);
    let relay =
        start_headcast(&format!("relay --listen unix://{} --peers 127.0.0.1:{port}", inlet.display()));
    until("the relay listens", || inlet.exists());
    let sender = UnixDatagram::unbound().expect("a socket");
    for n in 0..100u32 {
        sender.send_to(&n.to_le_bytes(), &inlet).expect("sent");
    }
    let mut buffer = [0; 64];
    for n in 0..100u32 {
        assert_eq!(application.recv(&mut buffer).expect("a message"), 4);
        assert_eq!(buffer[..4], n.to_le_bytes());
    }
    assert!(relay.terminate().status.success());
    assert!(!inlet.exists(), "the relay cleans up its path");
    assert!(subscriber.terminate().status.success());
}

#[test]
fn a_relay_takes_udp_as_well_and_refuses_what_is_too_long() {
    let (inlet, port) = (free_port(), free_port());
    let subscriber = start_headcast(&format!("subscribe --listen 127.0.0.1:{port} --count 3 --timeout 20s"));
    until_bound(port);
    let relay = start_headcast(&format!(
        "relay --json --listen udp://127.0.0.1:{inlet} --peers 127.0.0.1:{port} --message-max 1352"
    ));
    until_bound(inlet);
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for message in [&b"one"[..], &[0; 1353], b"two", &[0; 2000], b"three"] {
        sender.send_to(message, ("127.0.0.1", inlet)).expect("sent");
    }
    assert_eq!(stdout(&subscriber.wait()), "one\ntwo\nthree\n");
    let totals: Value = serde_json::from_slice(&relay.terminate().stdout).expect("one JSON object");
    assert_eq!((&totals["messages"], &totals["oversized"]), (&3.into(), &2.into()));
}

#[test]
fn sigterm_under_load_sends_everything_that_was_accepted() {
    let scratch = Scratch::new();
    let (inlet, port) = (scratch.path("in.sock"), free_port());
    let output = scratch.path("out.json");
    let mut subscriber = Command::new(HEADCAST)
        .args([
            "subscribe",
            "--output",
            "json",
            "--receive-buffer",
            "33554432",
            "--listen",
            &format!("127.0.0.1:{port}"),
        ])
        .stdout(std::fs::File::create(&output).expect("a file"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    until_bound(port);
    let relay =
        start_headcast(&format!("relay --json --listen unix://{} --peers 127.0.0.1:{port}", inlet.display()));
    until("the relay listens", || inlet.exists());

    // It blocks when the relay's socket is full, so it never gives up before the relay refuses.
    let path = inlet.clone();
    let sender = std::thread::spawn(move || {
        let sender = UnixDatagram::unbound().expect("a socket");
        let mut accepted = 0u32;
        while sender.send_to(&accepted.to_le_bytes(), &path).is_ok() {
            accepted += 1;
        }
        accepted
    });
    std::thread::sleep(std::time::Duration::from_millis(500));
    let ended = relay.terminate();
    assert!(ended.status.success(), "{}", stderr(&ended));
    let accepted = sender.join().expect("no panic");
    assert!(accepted > 100, "{accepted}");
    let totals: Value = serde_json::from_slice(&ended.stdout).expect("one JSON object");
    assert_eq!(totals["messages"], accepted);
    assert_all_is_out(&totals);

    let pid = nix::unistd::Pid::from_raw(i32::try_from(subscriber.id()).expect("a process id"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("signalled");
    assert!(subscriber.wait().expect("it ends").success());
    let text = std::fs::read_to_string(&output).expect("text");
    let totals: Value = serde_json::from_str(text.lines().last().expect("totals")).expect("JSON");
    // Two cores may be too few for the receiver to keep up; then its socket says what it dropped.
    let count = |name: &str| totals[name].as_u64().expect("a number");
    let lost = count("lost") + count("missing");
    let known = count("delivered") + lost;
    // The farewell may be among what it dropped; then the last messages are lost without its knowing of them.
    assert!(known == u64::from(accepted) || count("ended") == 0 && known < u64::from(accepted), "{totals}");
    assert!(2 * lost <= count("socket_dropped"), "a message is lost only with both its copies: {totals}");
}

#[test]
fn sigterm_sends_the_later_copies_as_well() {
    let port = free_port();
    let receiver = UdpSocket::bind(("127.0.0.1", port)).expect("a port");
    receiver.set_read_timeout(Some(SOON)).expect("a time-out");
    let publisher = start_headcast(&format!(
        "publish --peers 127.0.0.1:{port} --message x --repeat 0 --rate 100 --spacing 300ms --copies 3"
    ));
    let mut buffer = [0; 64];
    receiver.recv(&mut buffer).expect("a first datagram");
    let output = publisher.terminate();
    assert!(output.status.success());
    receiver.set_nonblocking(true).expect("non-blocking");
    let mut copies = std::collections::HashMap::from([(1u64, 1)]);
    while let Ok(len) = receiver.recv(&mut buffer) {
        if len == 41 {
            let seq = u64::from_le_bytes(buffer[24..32].try_into().expect("8 bytes"));
            *copies.entry(seq).or_insert(0) += 1;
        }
    }
    assert!(copies.values().all(|count| *count == 3), "{copies:?}");
}

#[test]
fn lines_of_standard_input_are_messages() {
    let port = free_port();
    let subscriber = start_headcast(&format!("subscribe --listen 127.0.0.1:{port} --count 4 --timeout 20s"));
    until_bound(port);
    let mut publisher = start_headcast(&format!("publish --peers 127.0.0.1:{port} --json --log-level warn"));
    let mut input = publisher.child().stdin.take().expect("a pipe");
    input.write_all("one\n\nthree and more\nlast without a newline".as_bytes()).expect("written");
    drop(input);
    let output = publisher.wait();
    assert!(output.status.success(), "{}", stderr(&output));
    let totals: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(totals["messages"], 4);
    assert_all_is_out(&totals);
    assert_eq!(stdout(&subscriber.wait()), "one\n\nthree and more\nlast without a newline\n");
}

#[test]
fn a_message_of_many_datagrams_arrives_in_one_piece() {
    let scratch = Scratch::new();
    let (file, port) = (scratch.path("message"), free_port());
    let message: String = (0..25_000).map(|n| format!("{n:07}.")).collect();
    std::fs::write(&file, &message).expect("written");
    for how in ["--mode dup+nak", "--mode nak --ring 1024"] {
        let subscriber =
            start_headcast(&format!("subscribe --listen 127.0.0.1:{port} --count 1 --timeout 20s"));
        until_bound(port);
        let publisher = start_headcast(&format!(
            "publish --peers 127.0.0.1:{port} {how} --file {} --json",
            file.display()
        ));
        let output = publisher.wait();
        assert!(output.status.success(), "{}", stderr(&output));
        let totals: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!((&totals["messages"], &totals["fragments"]), (&1.into(), &147.into()));
        assert_eq!(stdout(&subscriber.wait()), format!("{message}\n"));
    }
}

#[test]
fn a_line_that_is_too_long_is_named_and_the_lines_before_it_are_sent() {
    let port = free_port();
    let subscriber = start_headcast(&format!("subscribe --listen 127.0.0.1:{port} --count 2 --timeout 20s"));
    until_bound(port);
    let mut publisher =
        start_headcast(&format!("publish --peers 127.0.0.1:{port} --message-max 5000 --log-level error"));
    let input = format!("one\ntwo\n{}\nfour\n", "x".repeat(5001));
    publisher.child().stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
    let output = publisher.wait();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("standard input, line 3: longer than 5000 bytes"),
        "{}",
        stderr(&output)
    );
    assert_eq!(stdout(&subscriber.wait()), "one\ntwo\n");
}

#[test]
fn the_output_says_where_a_message_stands_and_keeps_bytes() {
    let scratch = Scratch::new();
    let (file, port) = (scratch.path("message"), free_port());
    std::fs::write(&file, [0xff, 0, 1]).expect("written");
    let listen = |output: &str| {
        let running = start_headcast(&format!(
            "subscribe --listen 127.0.0.1:{port} --output {output} --count 1 --timeout 20s"
        ));
        until_bound(port);
        let args = format!("publish --peers 127.0.0.1:{port} --publisher-id 5 --file {}", file.display());
        assert!(headcast(&args).status.success());
        running.wait().stdout
    };
    assert_eq!(listen("raw"), [0xff, 0, 1]);
    let json = String::from_utf8(listen("json")).expect("text");
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(events, ["session", "message", "totals"]);
    let (session, message) = (&lines[0], &lines[1]);
    assert_eq!((&session["seq"], &session["joined_late"]), (&1.into(), &false.into()));
    assert_eq!(
        (&message["payload_base64"], &message["publisher"], &message["seq"]),
        (&"/wAB".into(), &5.into(), &1.into())
    );
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_subscriber() {
    let port = free_port();
    let mut subscriber = start_headcast(&format!("subscribe --listen 127.0.0.1:{port}"));
    until_bound(port);
    let publisher =
        start_headcast(&format!("publish --peers 127.0.0.1:{port} --message x --repeat 0 --rate 1000"));
    let mut pipe = subscriber.child().stdout.take().expect("a pipe");
    pipe.read_exact(&mut [0; 2]).expect("a message");
    drop(pipe);
    assert!(subscriber.wait().status.success());
    assert!(publisher.terminate().status.success());
}

#[test]
fn a_subscriber_ends_in_time_though_there_is_always_one_more_message() {
    let port = free_port();
    let mut subscriber = start_headcast(&format!("subscribe --raw --listen 127.0.0.1:{port} --timeout 1s"));
    until_bound(port);
    let message = "x".repeat(1000);
    let publisher =
        start_headcast(&format!("publish --raw --peers 127.0.0.1:{port} --repeat 0 --message {message}"));
    // Slower than the publisher, so that the subscriber's socket is never empty.
    let mut pipe = subscriber.child().stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 16_384];
        while pipe.read(&mut buffer).is_ok_and(|len| len > 0) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let mut subscriber = subscriber;
    until("the subscriber ends", || subscriber.child().try_wait().expect("a status").is_some());
    assert!(subscriber.wait().status.success());
    reader.join().expect("no panic");
    assert!(publisher.terminate().status.success());
}

#[test]
fn sigterm_prints_everything_that_had_arrived() {
    let port = free_port();
    let subscriber = start_headcast(&format!("subscribe --listen 127.0.0.1:{port}"));
    until_bound(port);
    // More than a pipe holds, which nobody reads yet: most of it is in the socket when the signal comes.
    let message = "x".repeat(1000);
    let sent =
        headcast(&format!("publish --peers 127.0.0.1:{port} --repeat 2000 --copies 1 --message {message}"));
    assert!(sent.status.success(), "{}", stderr(&sent));
    let output = subscriber.terminate();
    assert!(output.status.success());
    // Where the system grants only small buffers, the socket says what it dropped.
    let totals = logged_totals(&output);
    let dropped = totals["socket_dropped"].as_u64().expect("a number");
    assert!(stdout(&output).lines().count() as u64 + dropped >= 2000, "{totals}");
}

#[test]
fn a_relay_whose_path_was_removed_still_sends_what_it_accepted() {
    let scratch = Scratch::new();
    let (inlet, port) = (scratch.path("in.sock"), free_port());
    let receiver = UdpSocket::bind(("127.0.0.1", port)).expect("a port");
    receiver.set_read_timeout(Some(SOON)).expect("a time-out");
    let relay = start_headcast(&format!(
        "relay --json --spacing 1s --listen unix://{} --peers 127.0.0.1:{port}",
        inlet.display()
    ));
    until("the relay listens", || inlet.exists());
    let sender = UnixDatagram::unbound().expect("a socket");
    for n in 0..10u8 {
        sender.send_to(&[n], &inlet).expect("sent");
    }
    receiver.recv(&mut [0; 64]).expect("a first datagram");
    std::fs::remove_file(&inlet).expect("removed");
    let ended = relay.terminate();
    assert!(ended.status.success(), "{}", stderr(&ended));
    let totals: Value = serde_json::from_slice(&ended.stdout).expect("one JSON object");
    assert_eq!(totals["messages"], 10);
    assert_all_is_out(&totals);
}

#[test]
fn messages_that_no_application_takes_are_counted() {
    for outlet in [format!("udp://127.0.0.1:{}", free_port()), "unix:///tmp/headcast-nobody.sock".to_owned()]
    {
        let port = free_port();
        let subscriber =
            start_headcast(&format!("subscribe --listen 127.0.0.1:{port} --count 20 --forward {outlet}"));
        until_bound(port);
        let sent = headcast(&format!("publish --peers 127.0.0.1:{port} --message x --repeat 20"));
        assert!(sent.status.success(), "{}", stderr(&sent));
        let ended = subscriber.wait();
        assert!(stderr(&ended).contains("cannot hand messages on to the application"), "{}", stderr(&ended));
        let totals = logged_totals(&ended);
        // Of UDP, the last one's refusal may not have come back yet.
        assert!(totals["forward_failed"].as_u64().is_some_and(|failed| failed >= 10), "{totals}");
    }
}

/// The totals in the last log line.
fn logged_totals(output: &std::process::Output) -> Value {
    let log = stderr(output);
    let totals = log.split("totals=").nth(1).and_then(|rest| rest.lines().next()).expect("totals");
    serde_json::from_str(totals).expect("JSON")
}

/// Every message went out to the one peer, in both copies of its datagram.
fn assert_all_is_out(totals: &Value) {
    let count = |name: &str| totals[name].as_u64().expect("a count");
    let datagrams = count("messages") - count("packed");
    for copies in ["passes_first", "passes_later", "sent_first", "sent_later"] {
        assert_eq!(count(copies), datagrams, "{copies}: {totals}");
    }
}
