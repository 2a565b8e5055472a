//! The transmit benchmark on loopback: complete, not quick or slow.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use clap::Parser;
use headcast_bench::transmit::{self, WayName};

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: transmit::Options,
}

#[test]
fn every_way_and_every_ratio_is_in_the_report() {
    // Every address of the loopback network with this port; never read, so it drops what comes.
    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    let port = receiver.local_addr().expect("an address").port();
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).to_string();
    let words = ["bench", "--to", &to, "--peers", "1,3", "--quick"];
    let options = CommandLine::try_parse_from(words).expect("a valid command line").options;

    let report = transmit::run(&options).expect("loopback takes everything");
    assert_eq!(report.rows.iter().map(|row| row.peers).collect::<Vec<_>>(), [1, 3]);
    for row in &report.rows {
        // No frames go by loopback, which the report says.
        assert_eq!(row.ns_per_datagram.len(), WayName::ALL.len() - 1);
        assert_eq!(row.missing.keys().collect::<Vec<_>>(), [&WayName::Xdp]);
        assert!(row.ns_per_datagram.values().all(|ns| ns.is_finite() && *ns > 0.0));
        assert_eq!(row.ratios.len(), 4);
        for ratio in &row.ratios {
            let estimate = ratio.estimate;
            assert_eq!(estimate.pairs, 2);
            assert!(estimate.median.is_finite() && estimate.low <= estimate.high, "{estimate:?}");
        }
    }
    let table = report.to_string();
    assert!(table.contains("left out: xdp: "), "{table}");
    assert!(WayName::ALL.iter().all(|way| table.contains(way.name())), "{table}");
    assert_eq!(table.matches(" / ").count(), 2 * 4 + 1, "{table}");
}
