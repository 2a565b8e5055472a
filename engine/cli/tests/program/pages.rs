//! What the program says about itself.

use crate::support::{Scratch, headcast, stderr, stdout};

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let page = headcast(&format!("completions {shell}"));
        assert!(page.status.success() && stdout(&page).contains("subscribe"), "{shell}");
    }
    assert!(stdout(&headcast("man")).starts_with(".ie"));
    let scratch = Scratch::new();
    let made = headcast(&format!("man --directory {}", scratch.as_path().display()));
    assert!(made.status.success(), "{}", stderr(&made));
    for page in
        ["headcast.1", "headcast-publish.1", "headcast-relay.1", "headcast-subscribe.1", "headcast-resolve.1"]
    {
        assert!(scratch.path(page).exists(), "{page}");
    }
}

#[test]
fn help_teaches_with_examples() {
    let help = stdout(&headcast("publish --help"));
    assert!(help.contains("Examples:") && help.contains("[env: HEADCAST_TO"), "{help}");
    assert_eq!(headcast("").status.code(), Some(2));
    assert_eq!(headcast("--version").status.code(), Some(0));
}

#[test]
fn options_come_from_the_environment_as_well_and_logs_can_be_json() {
    let port = crate::support::free_port();
    let receiver = std::net::UdpSocket::bind(("127.0.0.1", port)).expect("a port");
    let output = std::process::Command::new(crate::support::HEADCAST)
        .arg("publish")
        .env("HEADCAST_PEERS", format!("127.0.0.1:{port}"))
        .env("HEADCAST_MESSAGE", "from the environment")
        .env("HEADCAST_RAW", "yes")
        .env("HEADCAST_LOG_FORMAT", "json")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let mut buffer = [0; 64];
    let len = receiver.recv(&mut buffer).expect("a datagram");
    assert_eq!(&buffer[..len], b"from the environment");
    let log = stderr(&output);
    let lines = log.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<serde_json::Value> = lines.collect();
    let ready =
        lines.iter().find(|line| line["fields"]["message"] == "ready").expect("it says when it is ready");
    let capabilities = ready["fields"]["capabilities"].as_str().expect("text");
    assert!(capabilities.starts_with("sendmmsg of 1024, GSO of "), "{capabilities}");
    assert!(capabilities.contains(", IPv4 send buffer 4194304 B asked, "), "{capabilities}");
}

#[test]
fn peers_on_the_command_line_win_over_those_in_the_environment() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = receiver.local_addr().expect("an address").to_string();
    let output = std::process::Command::new(crate::support::HEADCAST)
        .args(["publish", "--raw", "--message", "here", "--peers", &address])
        .env("HEADCAST_TO", "elsewhere.invalid:1")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let mut buffer = [0; 64];
    assert_eq!(receiver.recv(&mut buffer).expect("a datagram"), 4);
}
