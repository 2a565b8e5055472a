//! With the least memory that will do, over an interface that drops everything for a while.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use headcast_udp::Outcome;

use crate::frames::{PORT, SOON, Sender, resolve, until};
use crate::network::Network;

const NAME: &str = "scarce::a_driver_that_drops_everything_costs_what_it_drops_and_nothing_else";
/// Set for the test's own second run.
const AGAIN: &str = "HEADCAST_TEST_SCARCE";
/// More than there are frames.
const PEERS: u16 = 150;

#[test]
fn a_driver_that_drops_everything_costs_what_it_drops_and_nothing_else() {
    if std::env::var_os(AGAIN).is_some() {
        return drops_everything();
    }
    // Memory for 64 frames only, by the limit, which this capability lifts.
    let output = Command::new("setpriv")
        .args(["--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", "prlimit", "--memlock=131072:131072"])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", NAME, "--nocapture"])
        .env(AGAIN, "1")
        .output()
        .expect("setpriv and prlimit of util-linux");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn drops_everything() {
    let network = Network::up();
    let peers: Vec<SocketAddr> =
        (0..PEERS).map(|at| SocketAddr::new([10, 9, 0, 2].into(), PORT + at)).collect();
    resolve(&network, &peers[..1]);
    let last = peers[usize::from(PEERS) - 1];
    let last = network.within("receiver", move || UdpSocket::bind(last).expect("a socket"));
    last.set_read_timeout(Some(SOON)).expect("set");
    let mut sender = network.within("sender", move || Sender::open(&peers));
    assert_eq!(sender.xdp.frames(), 64);
    // The sender's end stays up, without a carrier.
    network.ip("receiver", "link set in down");
    for _ in 0..3 {
        sender.lane.begin(true);
        let progress = sender.lane.flush(&mut sender.xdp, b"into the void");
        assert_eq!(
            (progress.outcome, progress.sent, progress.transient),
            (Outcome::Done, 0, PEERS.into()),
            "{progress:?}"
        );
        assert_eq!(sender.xdp.in_flight(), 0, "every frame has come back");
    }
    network.ip("receiver", "link set in up");
    until("the carrier is back", || network.exec("sender", "cat /sys/class/net/out/carrier").trim() == "1");
    sender.send(b"to all");
    assert_eq!(last.recv(&mut [0; 16]).expect("it arrives"), 6);
}
