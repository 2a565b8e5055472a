//! Raw mode: the other end knows nothing of Headcast.

use std::io::Read as _;

use crate::support::{free_port, headcast, start, start_headcast, stderr, stdout, until_bound};

#[test]
fn a_plain_python_receiver_gets_raw_messages() {
    let port = free_port();
    let script = format!(
        "import socket\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         s.bind(('127.0.0.1', {port}))\n\
         s.settimeout(20)\n\
         for _ in range(2):\n    message, address = s.recvfrom(1024)\n    print(message.decode(), flush=True)\n"
    );
    let receiver = start("python3", &["-c", &script]);
    until_bound(port);
    for message in ["one", "two"] {
        let sent = headcast(&format!("publish --raw --peers 127.0.0.1:{port} --message {message}"));
        assert!(sent.status.success(), "{}", stderr(&sent));
    }
    assert_eq!(stdout(&receiver.wait()), "one\ntwo\n");
}

#[test]
fn netcat_gets_raw_messages() {
    let port = free_port();
    let mut netcat = start("nc", &["-u", "-l", "127.0.0.1", &port.to_string()]);
    until_bound(port);
    let sent = headcast(&format!("publish --raw --peers 127.0.0.1:{port} --message hello-netcat"));
    assert!(sent.status.success(), "{}", stderr(&sent));
    let mut got = [0; 12];
    netcat.child().stdout.as_mut().expect("a pipe").read_exact(&mut got).expect("12 bytes");
    assert_eq!(&got, b"hello-netcat");
}

#[test]
fn a_plain_python_sender_reaches_a_raw_subscriber() {
    let port = free_port();
    let mut subscriber =
        start_headcast(&format!("subscribe --raw --listen 127.0.0.1:{port} --count 2 --timeout 20s"));
    until_bound(port);
    let script = format!(
        "import socket\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         for text in ('first', 'second'):\n    s.sendto(text.encode(), ('127.0.0.1', {port}))\n"
    );
    assert!(start("python3", &["-c", &script]).wait().status.success());
    let lines: Vec<_> = subscriber.lines().map(|line| line.expect("text")).collect();
    assert_eq!(lines, ["first", "second"]);
    assert!(subscriber.wait().status.success());
}
