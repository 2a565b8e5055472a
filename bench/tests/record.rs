//! The benchmark of the recorder runs and adds up. What it measures is nothing here: it is not timed.

use headcast_bench::record::{self, Options};
use headcast_recorder::Durability;

#[test]
fn every_row_is_stored_and_every_response_acknowledged() {
    let options = Options {
        database: None,
        durability: Durability::Process,
        rows: 2000,
        result: 64,
        responders: 3,
        pairs: 1,
        rates: vec![500],
        seconds: 1,
        seed: 1,
    };
    // It fails by itself if a row is missing.
    let report = record::run(&options).expect("measured");
    assert_eq!((report.ratio.pairs, report.latencies[0].responses), (1, 500));
    assert!(report.rows_per_commit >= 1.0 && report.ratio.median > 0.0, "{report:?}");
    let [latency] = &report.latencies[..] else { panic!("one rate") };
    assert!(0 < latency.p50_us && latency.p50_us <= latency.p99_us && latency.p99_us <= latency.max_us);
    assert!(report.to_string().contains("acknowledged at    500/s"), "{report}");
}
