//! Results are written so that others can read them, and told so that nothing is left out or made up.

mod example;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use headcast_bench::load::{Latencies, Outcome};
use headcast_bench::report::files;

use example::EVIL;

fn report(arguments: &[&Path]) -> Output {
    let program = env!("CARGO_BIN_EXE_headcast-bench");
    Command::new(program).arg("report").args(arguments).output().expect("a program that starts")
}

/// The page that is made of directories.
fn page(directories: &[&Path]) -> String {
    let output = report(directories);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = String::from_utf8(output.stdout).expect("a path");
    assert_eq!(Path::new(path.trim_end()), directories[0].join("report.html"));
    fs::read_to_string(path.trim_end()).expect("a page")
}

fn written(outcome: &Outcome) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    files::write(directory.path(), outcome).expect("written");
    directory
}

fn read(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).expect("JSON")
}

/// A page loads nothing, runs nothing, and shows text of others as text.
fn check(page: &str) {
    // What others told may name anything, as long as it is text: escaped by the page, or by a picture in it.
    let text = example::escaped(EVIL);
    let markup = page.replace(&text, "").replace(&text.replace("&#39;", "&apos;"), "");
    let markup = markup.replace("xmlns=\"http://www.w3.org/2000/svg\"", "").to_lowercase();
    for reference in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe", "onload=",
        "onerror=",
    ] {
        assert!(!markup.contains(reference), "{reference}");
    }
    assert!(page.contains(&example::escaped(EVIL)), "what was told is there");
    assert!(!page.contains("NaN") && !page.contains(">inf"), "no figure without a meaning");
    balanced(page);
}

/// Every element ends where it should.
fn balanced(page: &str) {
    let body = page.split_once("<body>").expect("a body").1;
    let mut open = Vec::new();
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag that ends");
        let name = tag.split_whitespace().next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            if open.is_empty() {
                assert!(["body", "html"].contains(&name), "</{name}> ends nothing");
                continue;
            }
            assert_eq!(open.pop(), Some(name), "in {body:.2000}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn the_page_of_a_run_tells_all_of_it_and_loads_nothing() {
    let page = page(&[written(&example::outcome(EVIL)).path()]);
    check(&page);
    for text in [
        "Not valid",
        "Settings",
        "Percentiles of the latency",
        "Second by second",
        "Spread over the receivers",
        "Where messages were lost",
        "The harness itself",
        "Machine",
        "Each of the 12 receivers",
        "net.core.rmem_max",
        "due until the last has it",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.matches("<svg").count() >= 4);
}

#[test]
fn a_run_whose_receivers_are_not_ours_has_a_page_and_no_files_of_what_they_got() {
    let directory = written(&example::outcome("headcast"));
    assert!(directory.path().join("latency.hlog").exists());
    let outcome = Outcome { received: None, ..example::outcome(EVIL) };
    files::write(directory.path(), &outcome).expect("written again");
    for name in ["latency.hgrm", "first.hgrm", "last.hgrm", "latency.hlog"] {
        assert!(!directory.path().join(name).exists(), "{name} is of the run before");
    }
    check(&page(&[directory.path()]));
}

#[test]
fn a_run_beside_itself_has_ratios_of_one() {
    let outcome = example::outcome(EVIL);
    let (first, second) = (written(&outcome), written(&outcome));
    let page = page(&[first.path(), second.path()]);
    check(&page);
    assert!(!page.contains("differ (A / B)"), "nothing differs");
    let ratios: Vec<&str> = page
        .split("<tr>")
        .filter(|row| row.matches("<td>").count() == 3)
        .map(|row| row.rsplit("<td>").next().and_then(|cell| cell.split('<').next()).expect("a cell"))
        .collect();
    // Seven rates, and five figures of each of seven histograms.
    assert_eq!(ratios, vec!["1.000"; 7 + 5 * 7]);
}

#[test]
fn positions_of_two_runs_stand_in_one_picture() {
    let run = written(&example::outcome("headcast"));
    let page = page(&[run.path(), run.path()]);
    let (_, picture) = page.split_once("Latency of each receiver").expect("a picture");
    let picture = picture.split_once("</figure>").expect("its end").0;
    for line in ["A, p50", "A, p99", "B, p50", "B, p99"] {
        assert!(picture.contains(line), "{line}");
    }
}

#[test]
fn what_receivers_of_others_got_is_not_told_as_nothing() {
    let ours = example::outcome("headcast");
    let theirs = Outcome { received: None, ..ours.clone() };
    let page = page(&[written(&ours).path(), written(&theirs).path()]);
    for name in ["delivered, messages/s", "not there in time, deliveries", "not there in time, part of"] {
        let row = page.split("<tr>").find(|row| row.contains(name)).expect("a row");
        assert!(row.matches("<td>-</td>").count() == 2, "{row}");
    }
}

#[test]
fn what_differs_between_two_runs_is_said() {
    let first = example::outcome(EVIL);
    let mut second = first.clone();
    second.settings.size = 4_321;
    second.machine.sysctls.insert("net.core.rmem_max".into(), "123456".into());
    second.sent.lag.record(90_000_000_000);
    let page = page(&[written(&first).path(), written(&second).path()]);
    check(&page);
    assert!(page.contains("The machines differ (A / B)") && page.contains("The settings differ (A / B)"));
    assert!(
        page.contains("<li>size: 64 / 4321</li>") && page.contains("rmem_max: 1000 / 123456"),
        "{page:.3000}"
    );
}

#[test]
fn the_page_of_a_sweep_has_its_knees() {
    let directory = tempfile::tempdir().expect("a directory");
    files::write_json(directory.path(), files::SWEEP, &example::sweep()).expect("written");
    let page = page(&[directory.path()]);
    check(&page);
    assert!(page.contains("knee: 12 receivers, 64 B") && page.contains("50.0 % of the rate"), "{page:.3000}");
}

#[test]
fn where_headcast_loses_the_page_of_a_comparison_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    files::write_json(directory.path(), files::COMPARE, &example::comparison()).expect("written");
    let page = page(&[directory.path()]);
    check(&page);
    let sentence = |text: &str| assert!(page.contains(&format!("<li>{text}</li>")), "{text}");
    let evil = example::escaped(EVIL);
    sentence(&format!("delivered/s: {evil} is best with 200 k; headcast has 100 k, 0.50 times that."));
    sentence(&format!(
        "p99: {evil} is best with 40.0 us; headcast has 50.0 us, 1.25 times that. Their rounds overlap."
    ));
    sentence("core seconds per million, low rate: redis is best with 1.00; headcast has no figure.");
    assert!(!page.contains("<li>p50:"), "there it is best");
    assert!(page.contains("10.0 us (9.00 us - 11.0 us) (best)"));
    assert!(page.contains("1.00 us (1.00 us - 1.50 us), not sustained"), "and wins nothing");
    for text in [
        "aeron: no compiler",
        "200 k or more",
        "nothing of round 3",
        "Trials that failed",
        "Beside each other",
        "0.500 (0.450 to 0.550)",
        "at least 0.25: missed",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn results_that_cannot_be_read_are_named_with_what_would_be_right() {
    let cases = [
        (None, ["has none of run.json, sweep.json, compare.json", "written with --output"]),
        (Some("{"), ["run.json is damaged: EOF", "right would be"]),
        (Some("{}"), ["run.json is damaged: missing field `schema`", "right would be"]),
        (Some(r#"{"schema":1}"#), ["run.json is damaged: missing field `settings`", "right would be"]),
        (Some(r#"{"schema":2}"#), ["run.json has schema 2, which is newer", "right would be 1"]),
        (Some(r#"{"schema":0}"#), ["run.json has schema 0", "right would be 1"]),
    ];
    for (text, wanted) in cases {
        let directory = tempfile::tempdir().expect("a directory");
        if let Some(text) = text {
            fs::write(directory.path().join(files::RUN), text).expect("written");
        }
        let output = report(&[directory.path()]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text:?}: {told}");
        assert!(wanted.iter().all(|part| told.contains(part)), "{text:?}: {told}");
        assert!(told.contains(&*directory.path().to_string_lossy()), "{told}");
        assert!(!directory.path().join("report.html").exists());
    }
}

#[test]
fn a_histogram_that_is_damaged_is_no_run() {
    let directory = written(&example::outcome("headcast"));
    let mut json: serde_json::Value =
        serde_json::from_str(&read(directory.path(), files::RUN)).expect("JSON");
    json["received"]["last"]["histogram"] = "AAAA".into();
    fs::write(directory.path().join(files::RUN), json.to_string()).expect("written");
    let output = report(&[directory.path()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("run.json is damaged: not a compressed V2 histogram"), "{told}");
}

#[test]
fn a_log_has_every_value_that_came() {
    let outcome = example::outcome("headcast");
    let directory = written(&outcome);
    let received = outcome.received.as_ref().expect("receivers");
    let log = read(directory.path(), "latency.hlog");
    assert!(log.starts_with("#[Histogram log format version 1.3]\n#[StartTime: "), "{log}");
    let mut all = Histogram::<u64>::new(3).expect("three digits");
    let (mut bases, mut intervals, mut end) = (0, 0, Duration::ZERO);
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        match entry.expect("a line of a log") {
            LogEntry::StartTime(time) => assert!(time > Duration::from_secs(1_700_000_000), "{time:?}"),
            LogEntry::BaseTime(time) => {
                assert!(time > Duration::from_secs(1_700_000_000), "{time:?}");
                bases += 1;
            }
            LogEntry::Interval(interval) => {
                let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).expect("Base64");
                let part: Histogram<u64> =
                    Deserializer::new().deserialize(&mut bytes.as_slice()).expect("V2");
                assert!((interval.max() - part.max() as f64 / 1e6).abs() < 1e-3, "milliseconds");
                // To the millisecond that is written.
                assert!(interval.start_timestamp() + Duration::from_millis(2) >= end, "one after the other");
                end = interval.start_timestamp() + interval.duration();
                all.add(part).expect("room");
                intervals += 1;
            }
        }
    }
    assert_eq!((bases, intervals), (1, received.series.len()));
    assert_eq!(all.len(), received.latency.count());
    assert_eq!(
        (all.max(), all.min()),
        (received.latency.histogram().max(), received.latency.histogram().min())
    );
}

#[test]
fn percentiles_are_told_in_microseconds_up_to_the_greatest() {
    let mut outcome = example::outcome("headcast");
    outcome.sent.lag = Latencies::new();
    (1..=1_000).for_each(|us| outcome.sent.lag.record(us * 1_000));
    let text = read(written(&outcome).path(), "send-start.hgrm");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("       Value     Percentile TotalCount 1/(1-Percentile)"));
    assert_eq!(lines.next(), Some(""));
    assert_eq!(lines.next(), Some("       1.000 0.000000000000          1           1.00"));
    assert_eq!(lines.next(), Some("     100.031 0.100000000000        100           1.11"));
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with(' ') && !line.contains("Value")).collect();
    assert!(rows.contains(&"     500.223 0.500000000000        500           2.00"), "{text}");
    assert_eq!(rows.last(), Some(&"    1000.447 1.000000000000       1000"));
    let trailer: Vec<&str> = text.lines().filter(|line| line.starts_with("#[")).collect();
    // Of 1 to 1000: the mean is 500.5, the deviation the root of (10^6 - 1) / 12. Buckets are as wide as 0.5 us there.
    assert!(
        trailer[0].starts_with("#[Mean    =      500.") && trailer[0].contains("StdDeviation   =      288."),
        "{text}"
    );
    assert_eq!(trailer[1], "#[Max     =     1000.447, Total count    =         1000]");
    assert_eq!(trailer[2], "#[Buckets =           27, SubBuckets     =         2048]");
}

#[test]
fn nothing_at_all_is_told_as_nothing() {
    let mut outcome = example::outcome("headcast");
    outcome.sent.call = Latencies::new();
    let text = read(written(&outcome).path(), "send-call.hgrm");
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 2, "a head without rows: {text}");
    assert!(text.contains("Total count    =            0]"));
}

#[test]
fn every_key_of_the_files_is_documented() {
    let docs =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/results.md")).expect("docs");
    let section = |name: &str| {
        let text = docs.split_once(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("no {name}")).1;
        text.split("\n## ").next().expect("a section")
    };
    let files = [
        ("run.json", json(&example::outcome("headcast"))),
        ("sweep.json", json(&example::sweep())),
        ("compare.json", json(&example::comparison())),
    ];
    for (name, value) in files {
        let mut keys = std::collections::BTreeSet::new();
        example::keys("", &value, &mut keys);
        assert!(keys.len() > 10, "{name}: {keys:?}");
        for key in keys {
            // What several files have stands where it is told first.
            let shared = ["account.", "latencies.", "machine."].iter().any(|kind| key.starts_with(kind));
            let place = if shared { section("run.json") } else { section(name) };
            assert!(place.contains(&format!("| `{key}` |")), "{name}: docs/results.md does not name `{key}`");
        }
    }
}
