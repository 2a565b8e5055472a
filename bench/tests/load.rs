//! Whole runs and sweeps on loopback: complete, and every number adds up. Not how fast.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headcast_bench::load::Outcome;
use headcast_bench::run::{self, Options};
use headcast_bench::sweep::{Limit, Sweep};

/// The tests of this file run one at a time: each has senders that keep a schedule, on few cores.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has nothing in it that another one could find broken.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn quick() -> Options {
    Options { rate: 500.0, duration: Duration::from_millis(600), receivers: 3, ..Options::default() }
}

/// What must hold of every run whose receivers are its own.
fn check(outcome: &Outcome, copies: u64) {
    let settings = &outcome.settings;
    let received = outcome.received.as_ref().expect("the receivers are its own");
    let (sent, receivers) = (outcome.sent.sent, settings.receivers as u64);
    assert_eq!(received.receivers.len(), settings.receivers);
    assert_eq!(sent + outcome.sent.refused + outcome.sent.abandoned, 300, "{outcome}");
    for receiver in &received.receivers {
        let account = receiver.account;
        assert_eq!(account.received + account.lost, sent, "{outcome}");
        assert_eq!(receiver.latency.count, account.received, "{outcome}");
        assert_eq!(account.foreign, 0, "{outcome}");
    }
    assert_eq!(received.total.received + received.total.lost, sent * receivers);
    assert_eq!(received.latency.count(), received.total.received);
    assert_eq!(received.last.count() + received.incomplete, sent);
    assert_eq!(received.last.count(), received.width.count());
    let series: u64 = received.series.iter().map(|interval| interval.latency.count).sum();
    assert_eq!(series, received.total.received, "every arrival is in one interval");
    assert_eq!(outcome.sent.series.iter().sum::<u64>(), sent);
    assert_eq!(
        [outcome.sent.lag.count(), outcome.sent.call.count(), outcome.sent.own_lag.count()],
        [sent; 3]
    );
    // What the system itself counts, the warm-up included, of which nothing is lost here.
    let all = sent * receivers + received.warm_up;
    let count = |name| outcome.counters.get(name).copied().unwrap_or_default();
    // Messages that were late may have shared a datagram.
    let datagrams = all - count("packed") * receivers;
    assert_eq!(count("sent_first"), datagrams, "{outcome}");
    assert_eq!(count("sent_later"), datagrams * (copies - 1), "{outcome}");
    assert_eq!(received.counters["delivered"], received.total.received + received.warm_up, "{outcome}");
    assert!(outcome.drops.out_datagrams > 0 && outcome.drops.out_datagrams >= copies, "{outcome}");
}

#[test]
fn a_run_reaches_its_own_receivers_and_every_number_adds_up() {
    let _alone = alone();
    for (raw, mode, copies) in [(false, "once", 1), (false, "dup", 2), (false, "nak", 1), (true, "once", 1)] {
        let mode = match mode {
            "once" => headcast::Mode::Once,
            "dup" => headcast::Mode::Dup,
            _ => headcast::Mode::Nak,
        };
        let warm_up = Duration::from_millis(100);
        let outcome = run::run(&Options { raw, mode: Some(mode), warm_up, ..quick() }).expect("a run");
        check(&outcome, copies);
        let received = outcome.received.expect("its own");
        assert_eq!((received.total.lost, received.warm_up), (0, 3 * 50), "nothing is in the way on loopback");
    }
}

#[test]
fn a_run_is_the_same_after_a_way_through_json() {
    let _alone = alone();
    let outcome = run::run(&quick()).expect("a run");
    let json = serde_json::to_string(&outcome).expect("it can be written");
    let back: Outcome = serde_json::from_str(&json).expect("it can be read");
    check(&back, 2);
    assert_eq!(serde_json::to_string(&back).expect("written"), json);
}

#[test]
fn without_rotation_the_last_is_always_the_last() {
    let _alone = alone();
    let options = Options { receivers: 100, mode: Some(headcast::Mode::Once), ..quick() };
    let p50_ns = |options| {
        let received = run::run(options).expect("a run").received.expect("its own");
        [0, 99].map(|position: usize| received.receivers[position].latency.p50_ns)
    };
    let [first, last] = p50_ns(&Options { no_rotation: true, ..options });
    assert!(first < last, "the first had it after {first} ns, the last after {last} ns");
}

#[test]
fn a_service_behind_a_name_gets_every_message_raw() {
    let _alone = alone();
    let service = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    service.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    let port = service.local_addr().expect("an address").port();
    let dns = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let dns_server = Some(dns.local_addr().expect("an address"));
    std::thread::spawn(move || answer(&dns));
    let to = Some(format!("service.test.:{port}"));
    let counting = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        (0..300).map(|_| service.recv(&mut buffer).expect("a datagram")).collect::<Vec<_>>()
    });
    let outcome = run::run(&Options { to, dns_server, raw: true, size: 200, ..quick() }).expect("a run");
    assert_eq!(counting.join().expect("counted"), [200; 300], "nothing but the payload");
    assert_eq!(outcome.sent.sent, 300);
    assert!(outcome.received.is_none() && outcome.loss().is_none(), "what they got is theirs to tell");
}

/// Says that every name is 127.0.0.1.
fn answer(socket: &UdpSocket) {
    let mut query = [0; 512];
    while let Ok((len, from)) = socket.recv_from(&mut query) {
        // RFC 1035, section 4: the header, a name that ends with a zero, its type and class.
        let Some(end) = query[12..len].iter().position(|byte| *byte == 0).map(|at| 12 + at + 5) else {
            continue;
        };
        let is_a = query[end - 3] == 1;
        let mut reply = query[..end].to_vec();
        reply[2..12].copy_from_slice(&[0x84, 0, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
        if is_a {
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 127, 0, 0, 1]);
        }
        if socket.send_to(&reply, from).is_err() {
            return;
        }
    }
}

#[test]
fn a_sweep_ends_at_its_knee() {
    let _alone = alone();
    // 100 receivers at a million messages per second are more than anything can do.
    let words =
        "sweep --rates 100,1000000 --receiver-counts 100 --duration 300ms --warm-up 0s --cores none --json";
    let output = headcast_bench(words);
    assert!(output.status.success(), "{output:?}");
    let sweep: Sweep = serde_json::from_slice(&output.stdout).expect("a sweep");
    assert_eq!(sweep.points.len(), 2);
    let cores = std::thread::available_parallelism().expect("a number").get();
    assert!(sweep.points.iter().all(|point| point.outcome.machine.cores == cores));
    let knee = &sweep.knees[0];
    assert_eq!((knee.receivers, knee.size, knee.gave_at), (100, 128, Some(1_000_000.0)));
    assert!(knee.gave.iter().any(|gave| matches!(gave, Limit::Rate(part) if *part < 0.995)), "{knee:?}");
}

#[test]
fn what_cannot_be_asked_for_is_a_usage_error() {
    let _alone = alone();
    let cases = [
        ("run --duration 2h", "right"),
        ("run --rate 1000000 --duration 1h --receivers 1000", "right would be"),
        ("run --cores 0,999", "core 999"),
        ("sweep --cores 999,0", "core 999"),
        ("run --to 127.0.0.1:9 --cores 999,0", "core 999"),
        ("run --duration 18446744073709551615s", "right would be"),
        ("run --warm-up 18446744073709551615s", "right would be"),
        ("sweep --duration 18446744073709551615s", "right would be"),
        ("run --raw --mode nak", "raw"),
        ("run --copies 0", "copies"),
        ("run --copies 99", "copies"),
        ("sweep --raw --mode nak", "raw"),
        ("sweep --raw --sizes 128,100000", "datagram"),
        ("sweep --rates 1000,5000000 --receiver-counts 8,1000 --duration 10s", "right would be"),
        ("run --to nowhere --raw", "NAME:PORT"),
        ("run --raw --size 100000", "datagram"),
        ("run --mode twice", "dup+nak"),
        ("run --size 23", "24"),
        ("run --rate 0", "rate"),
        ("sweep --rates 1,x", "rate"),
    ];
    for (words, hint) in cases {
        let output = headcast_bench(words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {text}");
        assert!(text.contains(hint), "{words}: {text}");
        assert!(output.stdout.is_empty(), "{words}");
    }
}

#[test]
fn a_run_that_is_not_valid_is_told_whole_and_ends_with_1() {
    let _alone = alone();
    // 50 receivers at 5 million messages per second are more than anything can do.
    let directory = tempfile::tempdir().expect("a directory");
    let words =
        "run --rate 5000000 --duration 200ms --warm-up 0s --receivers 50 --cores none --json --output";
    let output = headcast_bench(&format!("{words} {}", directory.path().display()));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("not valid"), "{text}");
    let outcome: Outcome = serde_json::from_slice(&output.stdout).expect("a run");
    assert!(outcome.complaints.iter().any(|why| why.contains("the rate was not sustained")), "{outcome}");
    assert!(directory.path().join("run.json").exists(), "it is written nevertheless");
}

#[test]
fn what_cannot_be_written_is_printed_all_the_same() {
    let _alone = alone();
    for (command, name) in [
        ("run --rate 100 --duration 100ms --warm-up 0s --receivers 2 --cores none", "run.json"),
        ("sweep --rates 100 --receiver-counts 2 --duration 100ms --warm-up 0s --cores none", "sweep.json"),
    ] {
        // A directory has the name of the file.
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join(name)).expect("made");
        let output = headcast_bench(&format!("{command} --json --output {}", directory.path().display()));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("what was measured");
        assert_eq!(printed["schema"], 1);
        assert!(String::from_utf8_lossy(&output.stderr).contains(name), "{output:?}");
    }
}

#[test]
fn a_sweep_keeps_each_knee_in_its_file() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let words =
        "sweep --rates 100 --receiver-counts 1,2 --duration 100ms --warm-up 0s --cores none --json --output";
    let output = headcast_bench(&format!("{words} {}", directory.path().display()));
    assert!(output.status.success(), "{output:?}");
    let kept = std::fs::read(directory.path().join("sweep.json")).expect("written");
    let (kept, printed): (serde_json::Value, serde_json::Value) =
        (serde_json::from_slice(&kept).expect("JSON"), serde_json::from_slice(&output.stdout).expect("JSON"));
    assert_eq!(kept, printed);
    assert_eq!(kept["knees"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_knee_of_few_messages_is_not_a_matter_of_rounding() {
    let _alone = alone();
    // 2.1 messages would be due in this time; 2 are sent.
    let outcome = run::run(&Options {
        rate: 3.0,
        duration: Duration::from_millis(700),
        receivers: 1,
        ..Options::default()
    })
    .expect("a run");
    assert_eq!(outcome.sent.sent, 2);
    assert_eq!(Limit::of(&outcome, u64::MAX), Vec::new(), "{outcome}");
}

#[test]
fn with_a_name_only_what_is_sent_by_us_limits_a_run() {
    let _alone = alone();
    let run = |to: Option<&str>| Options {
        to: to.map(Into::into),
        rate: 1_000_000.0,
        duration: Duration::from_secs(3_600),
        receivers: 1_000,
        ..Options::default()
    };
    assert!(run(None).check().is_err(), "the books of the receivers are too long");
    assert!(run(Some("127.0.0.1:9")).check().is_ok(), "there are none");
}

#[test]
fn results_that_cannot_be_written_are_told_before_anything_is_measured() {
    let _alone = alone();
    let output = headcast_bench("run --duration 1h --output /dev/null/results");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--output /dev/null/results"), "{output:?}");
}

#[test]
fn a_name_with_nobody_behind_it_is_a_failure_that_says_so() {
    let _alone = alone();
    let output = headcast_bench("run --to nobody.test.:9 --dns-server 127.0.0.1:1 --duration 1s");
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
}

fn headcast_bench(words: &str) -> std::process::Output {
    let program = env!("CARGO_BIN_EXE_headcast-bench");
    Command::new(program).args(words.split_whitespace()).output().expect("it runs")
}
