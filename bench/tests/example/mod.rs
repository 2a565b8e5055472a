//! Results as they might be.

use std::collections::{BTreeMap, BTreeSet};

use headcast::clock::mono_ns;
use headcast_bench::compare::outcome::{
    self as comparing, AtRate, Bound, Comparison, Cost, Figure, Quantiles, Range, Ratio, Row, System, Target,
    Throughput, Unavailable,
};
use headcast_bench::load::drops::Drops;
use headcast_bench::load::health::{Health, Pauses};
use headcast_bench::load::machine::Interface;
use headcast_bench::load::outcome::{SCHEMA, Settings};
use headcast_bench::load::{Books, Expected, Latencies, Machine, Outcome, Paced, Stamp};
use headcast_bench::statistics::Estimate;
use headcast_bench::sweep::{Knee, Limit, Point, Sweep};
use serde_json::Value;

/// A name that nobody should have.
pub(super) const EVIL: &str = "<script src='https://evil.example/x.js'>alert(\"&amp;\")</script>";

/// As it stands in a page.
pub(super) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

/// A run of this system with 12 receivers, some of whom lose some of 40 messages.
pub(super) fn outcome(system: &str) -> Outcome {
    let (receivers, sent) = (12, 40);
    let mut books = Books::new(receivers, Expected { run: 7, messages: sent + 5, warm_up: 5 });
    let start_ns = mono_ns();
    let mut paced = Paced { start_ns, sent, series: vec![sent], ..Paced::default() };
    for seq in 0..sent + 5 {
        let due_ns = mono_ns().saturating_sub(1_000 * seq);
        let mut payload = [0; 64];
        Stamp { run: 7, seq, due_ns }.write(&mut payload);
        let there = (0..receivers).filter(|receiver| !(seq + *receiver as u64).is_multiple_of(17));
        there.for_each(|receiver| books.take(receiver, &payload));
        paced.lag.record(1_000 + seq);
        paced.call.record(2_000 + seq);
        paced.own_lag.record(seq);
    }
    paced.took_ns = mono_ns() - start_ns;
    books.close(3, format!("closed by {system}"));
    let counters = BTreeMap::from([(format!("counted by {system}"), 3)]);
    let mut received = books.settle(sent, &[1; 12], counters.clone());
    // As if it had been two seconds.
    let second = received.series[0].clone();
    received.latency.add(&received.latency.clone());
    received
        .series
        .push(headcast_bench::load::outcome::Interval { at_s: second.at_s + second.length_s, ..second });
    Outcome {
        schema: SCHEMA,
        settings: Settings {
            system: system.into(),
            variant: format!("in the manner of {system}"),
            to: None,
            receivers,
            size: 64,
            rate: 40.0,
            warm_up_s: 0.1,
            duration_s: 1.0,
            cores: Some([0, 1]),
        },
        machine: machine(),
        complaints: vec![format!("{system} was late")],
        sent: paced,
        counters,
        received: Some(received),
        drops: Drops { out_datagrams: 480, in_datagrams: 450, ..Drops::default() },
        health: Health {
            wall_s: 1.1,
            cpu_s: 0.2,
            pauses: Some(Pauses { late: 0.01, p99_ns: 900_000, max_ns: 3_000_000 }),
            ..Health::default()
        },
    }
}

fn machine() -> Machine {
    let of = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    Machine {
        kernel: "6.1.0".into(),
        cpu: EVIL.into(),
        cores: 2,
        mitigations: of("spectre_v2", "Mitigation: Retpolines"),
        clock_source: "tsc".into(),
        sysctls: of("net.core.rmem_max", "1000"),
        interfaces: BTreeMap::from([("lo".to_owned(), Interface { mtu: 65_536, qdisc: "noqueue".into() })]),
        build: "0.1.0 abc".into(),
    }
}

/// A sweep of two steps, of which the second gave in every way.
pub(super) fn sweep() -> Sweep {
    let outcome = outcome(EVIL);
    let mut second = outcome.clone();
    second.settings.rate = 80.0;
    let gave = vec![Limit::Rate(0.5), Limit::Loss(0.01), Limit::Latency(20.0)];
    Sweep {
        schema: SCHEMA,
        machine: machine(),
        points: vec![Point { outcome, gave: Vec::new() }, Point { outcome: second, gave: gave.clone() }],
        knees: vec![Knee { receivers: 12, size: 64, kept: Some(40.0), gave_at: Some(80.0), gave }],
    }
}

/// A comparison in which Headcast is the best of three in some columns.
pub(super) fn comparison() -> Comparison {
    let system =
        |name: &str| System { name: name.into(), version: "1".into(), setup: format!("{name} set up") };
    let range = |median: f64| Range { median, min: median * 0.9, max: median * 1.1 };
    let cost = |cpu| Cost {
        rate: 1_000.0,
        cpu_s_per_million: Range { median: cpu, min: cpu, max: cpu },
        calls_per_delivery: Some(0.5),
        wire_per_payload: Some(range(1.4)),
    };
    let row = |system: &str, p50_ns: f64, p99: Range, delivered: f64, low: Option<Cost>| {
        let quantiles = Quantiles { p50_ns: range(p50_ns), p99_ns: p99, p999_ns: range(90_000.0) };
        let mut all = Latencies::new();
        (1..100).for_each(|step| all.record(step * 1_000));
        Row {
            system: system.into(),
            receivers: 8,
            size: 128,
            latency: vec![at_rate(quantiles, &all)],
            throughput: Some(Throughput {
                delivered_per_s: range(delivered),
                sent_per_s: range(delivered / 8.0),
                searches: 2,
                at_limit: delivered > 150_000.0,
            }),
            low,
            knee: Some(cost(1.0)),
            errors: vec![format!("{system} did not start once")],
        }
    };
    let mut overloaded = row("nats", 1_000.0, range(1_000.0), 90_000.0, Some(cost(5.0)));
    let at = &mut overloaded.latency[0];
    (at.sustained, at.sustained_trials) = (false, 0);
    at.one.p50_ns = Range { median: 1_000.0, min: 1_000.0, max: 1_500.0 };
    let quick = Range { median: 40_000.0, min: 30_000.0, max: 50_000.0 };
    let slower = Range { median: 50_000.0, min: 45_000.0, max: 60_000.0 };
    Comparison {
        schema: comparing::SCHEMA,
        settings: comparing::Settings {
            receivers: vec![8],
            sizes: vec![128],
            rates: vec![1_000.0],
            duration_s: 2.0,
            warm_up_s: 0.5,
            search_s: 1.0,
            rounds: 3,
            cores: None,
            loss_max: 0.0001,
            late_max_ns: 250_000_000,
            command: format!("compare {EVIL}"),
        },
        machine: machine(),
        systems: ["headcast", EVIL, "redis", "nats"].map(system).to_vec(),
        unavailable: vec![Unavailable { name: "aeron".into(), reason: "no compiler".into() }],
        rows: vec![
            row("headcast", 10_000.0, slower, 100_000.0, None),
            row(EVIL, 20_000.0, quick, 200_000.0, Some(cost(2.0))),
            row("redis", 30_000.0, range(70_000.0), 90_000.0, Some(cost(1.0))),
            overloaded,
        ],
        ratios: vec![ratio(EVIL, None, Some(0.5)), ratio("redis", Some(1_000.0), None)],
        rounds: 2,
        took_s: 60.0,
        missing: vec!["nothing of round 3 was measured".into()],
        notes: vec![format!("there is {EVIL} in it")],
    }
}

/// Headcast beside another one: with a figure that is what it is to be, or without one.
fn ratio(other: &str, rate: Option<f64>, median: Option<f64>) -> Ratio {
    let estimate = median.map(|median| Estimate { median, low: median * 0.9, high: median * 1.1, pairs: 3 });
    Ratio {
        system: "headcast".into(),
        other: other.into(),
        best_other: true,
        receivers: 8,
        size: 128,
        figure: if rate.is_none() { Figure::DeliveredPerS } else { Figure::LastP99Ns },
        rate,
        ratio: estimate,
        difference: estimate,
        target: Some(Target { of: Bound::RatioAtLeast, value: 0.25, met: median.is_some() }),
    }
}

fn at_rate(quantiles: Quantiles, all: &Latencies) -> AtRate {
    AtRate {
        rate: 1_000.0,
        trials: 2,
        sustained_trials: 2,
        sustained: true,
        sent: 4_000,
        received: 31_999,
        lost: 1,
        duplicates: 0,
        first: quantiles,
        one: quantiles,
        last: quantiles,
        one_all: all.clone(),
        last_all: all.clone(),
        complaints: vec![format!("1 of 2 trials: {EVIL}")],
    }
}

/// Every key, as docs/results.md names it: what stands in several places by its kind.
pub(super) fn keys(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    const NAMED: [&str; 4] = ["counters", "sysctls", "mitigations", "interfaces"];
    match value {
        Value::Array(all) => {
            // A limit is an object with one key.
            let path = if path.ends_with("gave") { "limit".to_owned() } else { format!("{path}[]") };
            all.iter().for_each(|one| keys(&path, one, found));
        }
        Value::Object(map) => {
            let is = |all: &[&str]| all.iter().all(|key| map.contains_key(*key));
            let path = match () {
                () if is(&["p9999_ns"]) => "latencies",
                () if is(&["mitigations"]) => "machine",
                () if is(&["longest_gap"]) && map.len() == 6 => "account",
                () if is(&["median", "min", "max"]) && map.len() == 3 => "range",
                () if is(&["median", "low", "high", "pairs"]) => "interval",
                // That of another file.
                () if path.ends_with(".outcome") => return,
                () => path,
            };
            for (key, value) in map {
                let account = ["received", "lost", "duplicates", "reordered", "longest_gap", "foreign"];
                let of = if path == "received.receivers[]" && account.contains(&key.as_str()) {
                    "account"
                } else {
                    path
                };
                let name = if of.is_empty() { key.clone() } else { format!("{of}.{key}") };
                found.insert(name.clone());
                let last = name.rsplit('.').next().unwrap_or_default();
                match value {
                    Value::Object(inner) if NAMED.contains(&last) => {
                        inner.values().for_each(|value| keys(&format!("{name}[]"), value, found));
                    }
                    value => keys(&name, value, found),
                }
            }
        }
        _ => {}
    }
}
