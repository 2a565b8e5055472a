use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use super::*;

#[test]
fn a_train_comes_in_one_piece_and_is_held_together_with_what_follows_it() {
    let listen = Listen::Udp("127.0.0.1:0".parse().expect("an address"));
    let (mut ingress, _) =
        Ingress::open(&listen, 1 << 20, Sizes::cut(1_000, 10_000, None)).expect("a socket");
    let application = UdpSocket::bind("127.0.0.1:0").expect("a port");
    application.connect(ingress.address().expect("an address")).expect("connected");
    application.send(&[1; 7]).expect("sent");
    setsockopt(&application, UdpGsoSegment, &300).expect("segmentation");
    application.send(&[2; 1_000]).expect("sent");
    application.send(&[3; 9]).expect("sent");

    let mut ring = Ring::new(16, 1_000);
    let mut taken = Vec::new();
    let counters = PublisherCounters::default();
    let more = ingress.receive(&mut ring, 1, 16, &counters, |_, seq, len| taken.push((seq, len)));
    assert!(more.expect("a socket that works"), "what is held");
    assert_eq!(taken, [(1, 7)]);
    let held: Vec<_> = std::iter::from_fn(|| ingress.next_held().map(|held| (held.at, held.bytes))).collect();
    assert_eq!(held, [(1, 0..300), (1, 300..600), (1, 600..900), (1, 900..1_000), (2, 0..9)]);
    assert!(!ingress.holds());
}
