//! The bound that the documentation gives for the memory of a peer. Counted, not timed: the same in any
//! build. One test, for the counts are of the whole process.

use headcast_bench::memory::{self, BYTES_PER_PEER_MAX};

#[test]
fn a_peer_takes_at_most_256_bytes_and_100_000_are_accepted() {
    for peers in [1_000, 100_000] {
        let footprint = memory::measure(peers).expect("as many peers as the limit allows");
        assert_eq!(footprint.peers, peers);
        for bytes in [footprint.batch_v4, footprint.batch_v6, footprint.set] {
            assert!(bytes as f64 / peers as f64 <= BYTES_PER_PEER_MAX, "{footprint}");
        }
    }
}
