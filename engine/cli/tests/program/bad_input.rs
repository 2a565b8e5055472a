//! Bad input: one clear line, and the right exit code.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::support::{HEADCAST, Scratch, free_port, headcast, start, start_headcast, stderr, stdout, until};

/// Runs to a failure, and checks its one line.
fn fails(args: &str, code: i32, what: &str) {
    let output = headcast(&format!("{args} --log-level error"));
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args}: {error}");
    assert!(error.starts_with("error: ") && error.contains(what), "{args}: {error}");
    if code == 1 {
        assert_eq!(error.lines().count(), 1, "{args}: {error}");
    }
    assert_eq!(stdout(&output), "", "{args}");
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    fails("publish --to name --message x", 2, "write NAME:PORT");
    fails("publish --to name:0 --message x", 2, "1 to 65535");
    fails("publish --to name:65536 --message x", 2, "1 to 65535");
    fails("publish --to na..me:1 --message x", 2, "na..me");
    fails("publish --to :1 --message x", 2, "name");
    fails("publish --peers 127.0.0.1 --message x --copies 9", 2, "1 to 7");
    fails("publish --peers 127.0.0.1 --message x --ring 1000", 2, "power of two");
    fails("publish --peers 127.0.0.1 --message x --datagram-max 70000", 2, "65507");
    fails("publish --peers 127.0.0.1 --message x --mode once --copies 2", 2, "the mode dup");
    fails("publish --peers 127.0.0.1 --message x --mode nak --raw", 2, "nothing can be asked for");
    fails("publish --peers 127.0.0.1 --message x --message-max 2000000", 2, "1048576");
    fails("publish --peers 224.0.0.1 --message x", 2, "224.0.0.1");
    fails("subscribe --window 1000", 2, "power of two");
    fails("subscribe --publishers 0", 2, "1 to");
    fails("relay --peers 127.0.0.1 --listen tcp://127.0.0.1:1", 2, "udp://");
    fails("publish --peers 127.0.0.1 --srv --message x", 2, "--to");
    fails("publish --to name:1 --srv --message x", 2, "has a port");
    fails("publish --to http://name:80 --message x", 2, "has a scheme");
    fails("publish --peers localhost:1 --message x", 2, "a name goes with --to");
    fails("publish --peers 127.0.0.1 --pin 100000 --message x", 2, "core 100000");
    fails("nonsense", 2, "unrecognized subcommand");
}

#[test]
fn a_peers_file_that_is_empty_missing_or_wrong_is_named_with_its_line() {
    let scratch = Scratch::new();
    let file = scratch.path("peers");
    let args = format!("publish --peers-file {} --message x", file.display());
    fails(&args, 1, &file.display().to_string());
    std::fs::write(&file, "# nobody\n\n").expect("written");
    fails(&args, 1, "one address a line");
    std::fs::write(&file, "127.0.0.1\nnot an address\n").expect("written");
    fails(&args, 1, "line 2");
}

#[test]
fn a_message_over_the_limit_names_the_limit() {
    let scratch = Scratch::new();
    let file = scratch.path("message");
    std::fs::write(&file, vec![b'x'; (1 << 20) + 1]).expect("written");
    let args = format!("publish --peers 127.0.0.1 --file {}", file.display());
    fails(&args, 1, "a message of 1048577 bytes is too long: at most 1048576");
    fails(&format!("{args} --message-max 2000"), 1, "at most 2000");
    fails(&format!("{args} --raw"), 1, "at most 1392");
    fails(&format!("{args}.missing"), 1, "No such file");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    fails(
        &format!("subscribe --listen {address}"),
        1,
        &format!("cannot listen on {address}: another process has it"),
    );
    fails(&format!("relay --peers 127.0.0.1 --listen udp://{address}"), 1, "another process has it");
    fails("subscribe --listen 192.0.2.1:12000", 1, "no interface of this host has that address");
}

#[test]
fn a_socket_path_that_exists_is_not_taken_away_from_anybody() {
    let scratch = Scratch::new();
    let (file, taken) = (scratch.path("file"), scratch.path("taken.sock"));
    std::fs::write(&file, "precious").expect("written");
    let _owner = UnixDatagram::bind(&taken).expect("a socket");
    let relay =
        |path: &std::path::Path| format!("relay --peers 127.0.0.1 --listen unix://{}", path.display());
    fails(&relay(&file), 1, "exists and is not a socket");
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "precious");
    fails(&relay(&taken), 1, "another process has it");
    fails(&relay(&scratch.path("missing/x.sock")), 1, "the directory does not exist");
}

#[test]
fn the_socket_of_a_killed_relay_is_replaced() {
    let scratch = Scratch::new();
    let path = scratch.path("stale.sock");
    drop(UnixDatagram::bind(&path).expect("a socket"));
    assert!(path.exists());
    let relay = start_headcast(&format!(
        "relay --peers 127.0.0.1:{} --listen unix://{}",
        free_port(),
        path.display()
    ));
    let sender = UnixDatagram::unbound().expect("a socket");
    until("the relay listens", || sender.send_to(b"x", &path).is_ok());
    assert!(relay.terminate().status.success());
}

#[test]
fn no_permission_says_what_is_needed() {
    // As somebody who may not write there. Only root can become somebody else.
    let scratch = Scratch::new();
    let program = scratch.path("headcast");
    // By another process: a file that any child of ours inherited open for writing could not be run.
    assert!(Command::new("cp").arg(HEADCAST).arg(&program).status().expect("cp").success());
    std::fs::set_permissions(scratch.as_path(), std::fs::Permissions::from_mode(0o555)).expect("permissions");
    let listen = format!("unix://{}", scratch.path("x.sock").display());
    let args = ["relay", "--peers", "127.0.0.1", "--log-level", "error", "--listen", &listen];
    let output = if nix::unistd::geteuid().is_root() {
        let become_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        Command::new("setpriv").args(become_nobody).arg(&program).args(args).output()
    } else {
        Command::new(&program).args(args).output()
    };
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("permission denied"), "{}", stderr(&output));
    std::fs::set_permissions(scratch.as_path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

#[test]
fn a_count_that_is_not_reached_in_time_is_a_failure() {
    fails("subscribe --listen 127.0.0.1:0 --count 3 --timeout 50ms", 1, "0 of 3 messages came within 50ms");
    let output = headcast("subscribe --listen 127.0.0.1:0 --timeout 50ms");
    assert_eq!(output.status.code(), Some(0), "to listen for some time is no failure");
}

#[test]
fn arguments_that_are_no_text_and_times_without_end_do_no_harm() {
    use std::os::unix::ffi::OsStrExt as _;
    let file = std::ffi::OsStr::from_bytes(b"/tmp/headcast-\xff");
    let output =
        Command::new(HEADCAST).args(["publish", "--file"]).arg(file).args(["--peers", "127.0.0.1"]).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));

    let port = free_port();
    let mut subscriber = start(
        HEADCAST,
        &[
            "subscribe",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--timeout",
            "500000000000years",
            "--linger",
            "1ms",
        ],
    );
    crate::support::until_bound(port);
    assert!(subscriber.child().try_wait().expect("a status").is_none());
    let output = subscriber.terminate();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_line_without_end_is_refused_without_reading_it_all() {
    use std::io::Write as _;
    let mut publisher =
        start_headcast(&format!("publish --peers 127.0.0.1:{} --log-level error", free_port()));
    let mut input = publisher.child().stdin.take().expect("a pipe");
    // It stops reading long before this is written: the pipe breaks.
    let written = (0..1_000).try_for_each(|_| input.write_all(&[0; 65_536]));
    assert!(written.is_err());
    let output = publisher.wait();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("standard input, line 1"), "{}", stderr(&output));
}

#[test]
fn who_waits_for_peers_can_be_stopped() {
    // Nobody answers on the discard port of loopback.
    let waiting =
        start_headcast("publish --to nosuch.invalid:1 --dns-server 127.0.0.1:9 --wait 1h --message x");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let output = waiting.terminate();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("error: stopped before there was a peer"), "{}", stderr(&output));
}
