//! A list of peers is taken as a whole or refused for its first wrong line.
//!
//! The bytes are the file.

use std::net::SocketAddr;

use headcast_peers::file::{ListError, parse};
use headcast_peers::{PeerSet, parse_peer};

const PORT: u16 = 9000;
const PEERS_MAX: usize = 8;
/// No message about a file is longer, whatever is in the file.
const MESSAGE_MAX: usize = 300;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    // What each line says, as read without the parser under test.
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().map(without_comment).collect();
    let listed = || lines.iter().filter(|line| !line.is_empty()).map(|line| parse_peer(line, PORT));

    match parse(text, PORT, PEERS_MAX) {
        Ok(peers) => {
            assert!((1..=PEERS_MAX).contains(&peers.len()));
            assert!(peers.as_slice().is_sorted_by(|a, b| a < b), "in ascending order, each once");
            peers.iter().for_each(is_usable);
            assert!(listed().all(|peer| peer.is_ok_and(|peer| peers.contains(peer))), "every line is in it");
            assert!(peers.iter().all(|peer| listed().any(|line| line == Ok(*peer))), "and nothing else is");
            is_read_again_from_its_own_listing(&peers);
            order_and_repetition_make_no_difference(&lines, &peers);
            assert_eq!(parse(text, PORT, peers.len()).as_ref(), Ok(&peers), "at the limit");
            let less = peers.len() - 1;
            assert_eq!(parse(text, PORT, less), Err(ListError::TooMany(less)), "over the limit");
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.chars().count() <= MESSAGE_MAX, "a message of {} bytes", message.len());
            assert!(!message.contains(char::is_control), "fit for one line of a log: {message:?}");
            match error {
                ListError::Line { line, text: shown, error } => {
                    let (before, rest) = lines.split_at_checked(line - 1).expect("a line that exists");
                    let wrong = rest.first().expect("a line that exists");
                    assert!(wrong.starts_with(&shown) && !shown.is_empty());
                    assert_eq!(parse_peer(wrong, PORT), Err(error));
                    assert!(before.iter().all(|line| line.is_empty() || parse_peer(line, PORT).is_ok()));
                    assert!(message.starts_with(&format!("line {line}")));
                }
                ListError::NoPeers => assert!(lines.iter().all(|line| line.is_empty())),
                ListError::TooMany(most) => {
                    assert_eq!(most, PEERS_MAX);
                    let peers: PeerSet = listed().map(|peer| peer.expect("no wrong line")).collect();
                    assert!(peers.len() > most);
                    assert_eq!(parse(text, PORT, peers.len()), Ok(peers));
                }
            }
        }
    }
}

fn without_comment(line: &str) -> &str {
    line.find('#').map_or(line, |at| &line[..at]).trim()
}

/// A datagram to exactly one host can be sent there.
fn is_usable(peer: &SocketAddr) {
    let ip = peer.ip();
    assert_ne!(peer.port(), 0);
    assert!(!ip.is_unspecified() && !ip.is_multicast(), "{peer}");
    assert_ne!(ip.to_string(), "255.255.255.255");
    assert_eq!(ip, ip.to_canonical(), "no IPv4 in IPv6 clothes");
    if let SocketAddr::V6(v6) = peer {
        assert_eq!(v6.flowinfo(), 0);
    }
}

fn is_read_again_from_its_own_listing(peers: &PeerSet) {
    let listing: Vec<String> = peers.iter().map(ToString::to_string).collect();
    assert_eq!(parse(&listing.join("\n"), 1, PEERS_MAX).as_ref(), Ok(peers));
}

fn order_and_repetition_make_no_difference(lines: &[&str], peers: &PeerSet) {
    let backwards: Vec<&str> = lines.iter().rev().chain(lines).copied().collect();
    let text = format!("# again\n{}\r\n\n", backwards.join(" # and\n"));
    assert_eq!(parse(&text, PORT, PEERS_MAX).as_ref(), Ok(peers));
}
