//! A comparison adds up: what was sent, delivered and lost. Not how fast anything is.

#[expect(dead_code, reason = "the tests of the report need the rest")]
mod example;

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Parser;
use headcast_bench::compare::{self, Comparison, Options};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Comparisons run one at a time: beside another one no rate is sustained.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn options(arguments: &[&str]) -> Options {
    let program = env!("CARGO_BIN_EXE_headcast-bench");
    let common = ["compare", "--program", program, "--cores", "none"];
    Line::parse_from(common.iter().chain(arguments)).options
}

const SMALL: [&str; 14] = [
    "--receivers",
    "2",
    "--sizes",
    "64",
    "--rates",
    "200",
    "--duration",
    "500ms",
    "--warm-up",
    "100ms",
    "--search",
    "500ms",
    "--max-rate",
    "500",
];

#[test]
fn a_comparison_with_a_broker_adds_up() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("results");
    let output = output.to_str().expect("text");
    let small = [&SMALL[..], &["--rounds", "2", "--systems", "redis,headcast", "--output", output]].concat();
    let comparison = compare::run(&options(&small)).expect("a comparison");

    assert_eq!(comparison.unavailable.len(), 0, "{:?}", comparison.unavailable);
    let names: Vec<&str> = comparison.systems.iter().map(|system| system.name.as_str()).collect();
    assert_eq!(names, ["redis", "headcast"]);
    assert!(comparison.systems.iter().all(|system| !system.version.is_empty() && !system.setup.is_empty()));
    assert_eq!((comparison.rounds, comparison.missing.len(), comparison.rows.len()), (2, 0, 2));
    for row in &comparison.rows {
        assert_eq!(row.errors, Vec::<String>::new(), "{}", row.system);
        assert_eq!((row.receivers, row.size, row.latency.len()), (2, 64, 1));
        let at = &row.latency[0];
        // 200 messages/s for 500 ms, in each of two rounds.
        assert_eq!((at.trials, at.sent), (2, 200), "{}", row.system);
        assert_eq!(at.received + at.lost, at.sent * 2);
        assert_eq!((at.lost, at.duplicates), (0, 0), "{}: on an idle loopback", row.system);
        assert_eq!(at.one_all.count(), if at.sustained { 200 * at.sustained_trials as u64 } else { 400 });
        assert_eq!(at.last_all.count() * 2, at.one_all.count());
        assert!(at.one.p50_ns.min <= at.last.p50_ns.max && at.one.p50_ns.median > 0.0);
        // A machine that is busy with something else sustains no rate, which is no error in what is added up.
        assert_eq!(row.knee.is_some(), row.throughput.is_some(), "{}", row.system);
        if let Some(found) = row.throughput {
            assert!((1..=2).contains(&found.searches));
            // Two receivers: each message is delivered twice.
            assert!(found.delivered_per_s.max <= 2.05 * found.sent_per_s.max, "{found:?}");
            assert!(found.sent_per_s.max <= 500.0);
        }
        assert!(row.low.is_some(), "{}", row.system);
        for cost in [row.low, row.knee].into_iter().flatten() {
            assert!(cost.cpu_s_per_million.min > 0.0 && cost.rate > 0.0);
            assert!(cost.calls_per_delivery.is_none_or(|calls| calls > 0.0 && calls < 1_000.0), "{cost:?}");
        }
    }
    assert!(comparison.ratios.iter().all(|ratio| ratio.best_other && ratio.other == "redis"));
    let stored = std::fs::read_to_string(directory.path().join("results/compare.json")).expect("a file");
    let stored: Comparison = serde_json::from_str(&stored).expect("a comparison");
    assert_eq!(stored.rows.len(), 2);
    assert_eq!(stored.rows[0].latency[0].one_all.count(), comparison.rows[0].latency[0].one_all.count());
    for (name, told) in [("compare.txt", comparison.to_string()), ("compare.md", comparison.markdown())] {
        assert!(told.contains("2 receivers, 64 B") && told.contains("redis"), "{told}");
        let stored = std::fs::read_to_string(directory.path().join("results").join(name)).expect("a table");
        assert_eq!(stored, told, "{name}");
    }
}

#[test]
fn two_variants_are_put_beside_each_other_round_by_round() {
    let _alone = alone();
    let pair = ["--ratio", "headcast-gso/headcast-plain", "--rounds", "2", "--no-costs"];
    let comparison = compare::run(&options(&[&SMALL[..], &pair].concat())).expect("a comparison");
    let names: Vec<&str> = comparison.systems.iter().map(|system| system.name.as_str()).collect();
    assert_eq!(names, ["headcast-gso", "headcast-plain"], "nobody else was asked for");
    for row in &comparison.rows {
        assert_eq!((&row.errors, row.low, row.knee), (&Vec::new(), None, None), "{}", row.system);
        let at = &row.latency[0];
        assert_eq!((at.sent, at.received, at.lost, at.duplicates), (200, 400, 0, 0), "{}", row.system);
        assert!(at.first.p50_ns.median <= at.last.p50_ns.max, "{at:?}");
    }
    // The highest rate, and three latencies at the only rate, as far as a busy machine has sustained them.
    assert!(comparison.ratios.len() <= 4, "{:?}", comparison.ratios);
    let text = comparison.to_string();
    for ratio in &comparison.ratios {
        assert_eq!((ratio.system.as_str(), ratio.other.as_str()), ("headcast-gso", "headcast-plain"));
        assert_eq!((ratio.receivers, ratio.size, ratio.best_other, ratio.target), (2, 64, false, None));
        if let Some((times, more)) = ratio.ratio.zip(ratio.difference) {
            assert!((1..=2).contains(&times.pairs) && times.pairs == more.pairs, "{ratio:?}");
            assert!(times.low <= times.median && times.median <= times.high && times.low > 0.0, "{ratio:?}");
        }
        assert!(text.contains("headcast-gso / headcast-plain"), "{text}");
    }
}

#[test]
fn who_cannot_take_part_is_named_with_the_reason() {
    let _alone = alone();
    let small = [
        &SMALL[..],
        &[
            "--systems",
            "headcast-once,zeromq,aeron,sidecar",
            "--no-throughput",
            "--rounds",
            "1",
            "--unavailable",
            "aeron=cmake is missing",
            "--unavailable",
            "redis=not asked for",
            "--headcast",
            "/no/headcast",
        ],
    ]
    .concat();
    let comparison = compare::run(&options(&small)).expect("a comparison");
    let reasons: Vec<(&str, &str)> =
        comparison.unavailable.iter().map(|one| (one.name.as_str(), one.reason.as_str())).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons.contains(&("aeron", "cmake is missing")), "{reasons:?}");
    assert!(reasons.iter().any(|(name, why)| *name == "zeromq" && why.contains("--rivals")), "{reasons:?}");
    assert!(
        reasons.iter().any(|(name, why)| *name == "sidecar" && why.contains("/no/headcast")),
        "{reasons:?}"
    );
    assert_eq!(comparison.rows.len(), 1);
    assert!(comparison.rows[0].throughput.is_none() && comparison.rows[0].knee.is_none());
    assert!(comparison.to_string().contains("aeron took no part: cmake is missing"));
}

#[test]
fn a_deadline_ends_it_and_says_what_is_missing() {
    let _alone = alone();
    let mut options = options(&[&SMALL[..], &["--systems", "headcast", "--rounds", "3"]].concat());
    options.deadline = Duration::ZERO;
    let comparison = compare::run(&options).expect("a comparison");
    assert_eq!((comparison.rounds, comparison.missing.len()), (0, 1));
    assert!(
        comparison.missing[0].contains("round 1 of 3: headcast, 2 receivers, 64 B"),
        "{:?}",
        comparison.missing
    );
    assert!(comparison.rows[0].latency.is_empty());
}

#[test]
fn the_tables_say_who_is_best_and_where_headcast_is_not() {
    let comparison = example::comparison();
    let markdown = comparison.markdown();
    for told in [
        "**10.0 us (9.00-11.0)**, 50.0 us (45.0-60.0), **90.0 us**",
        "**at least 200 k (180-220)**",
        "- delivered/s: <script",
        "is best, 2.00 x headcast\n",
        "is best, 0.80 x headcast (their rounds overlap)\n",
        "- CPU s/million, slow: redis is best, headcast has no figure\n",
        "- redis at 1000/s: 1 of 2 trials: ",
        "| nats | not sustained (0.00 % not there in time) |",
        "- aeron took no part: no compiler\n",
        "(best other) | delivered/s | 0.500 (0.450 to 0.550) | - | 3 | at least 0.25: met |",
        "| headcast / redis (best other) | p99 of last at 1000/s | - | - | 0 | at least 0.25: missed |",
    ] {
        assert!(markdown.contains(told), "{told}: {markdown}");
    }
    assert!(!markdown.contains("- p50 of"), "there it is best: {markdown}");
    let text = comparison.to_string();
    assert!(
        !text.contains("**") && text.contains("10.0 us (9.00-11.0), 50.0 us (45.0-60.0), 90.0 us"),
        "{text}"
    );
    assert!(text.contains("headcast: a trial failed: headcast did not start once"), "{text}");
}

#[test]
fn a_wrong_command_line_ends_with_2_and_what_would_be_right() {
    for (arguments, right) in [
        (["--systems", "carrier-pigeon"], "redis"),
        (["--duration", "0s"], "up to 1m"),
        (["--unavailable", "aeron"], "aeron=cmake is missing"),
        (["--cores", "99,100"], "or auto; or none"),
        (["--ratio", "headcast"], "headcast-gso/headcast-plain"),
        (["--ratio", "redis/redis"], "two different systems"),
    ] {
        let program = env!("CARGO_BIN_EXE_headcast-bench");
        let output = Command::new(program).arg("compare").args(arguments).output().expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(right), "{arguments:?}: {errors}");
    }
    let lacking = options(&["--systems", "redis", "--ratio", "redis/headcast"]);
    let error = compare::run(&lacking).expect_err("headcast is left out").to_string();
    assert!(error.contains("headcast, which --systems leaves out"), "{error}");
}
