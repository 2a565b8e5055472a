//! What the network loses, for good: asked for, sent again, and there in the end, once.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use headcast::Mode;

use crate::programs::{Listener, PUBLISHER, Told, count};
use crate::support::{HEADCAST, Lab, NAME, Pods, SOON, publish_paced, publisher, ready};

#[test]
fn with_five_percent_lost_in_bursts_a_hundred_subscribers_get_a_hundred_thousand_messages_once() {
    const PODS: usize = 100;
    const MESSAGES: u64 = 100_000;
    // Twenty million datagrams: what two cores carry in a minute.
    let lab = Lab::up_alone(&format!("--pods {PODS}"));
    lab.run("drop 5 --burst 8");
    lab.run("drop 5 --at publisher");
    let pods = Pods::start(&lab, lab.addresses());
    let publishing = lab.thread("publisher", || {
        let mut publisher = ready(publisher().mode(Mode::DupNak).spacing(Duration::from_millis(1)), PODS);
        publish_paced(&mut publisher, 0..MESSAGES, Duration::from_micros(650));
        assert_eq!(publisher.close(SOON).expect("closed"), 0);
        publisher.counters().each().collect::<std::collections::BTreeMap<_, _>>()
    });
    let sent = publishing.join().expect("no panic");
    let dropped = lab.run("drop --show");
    let mut repaired = 0;
    for pod in pods.stop() {
        let counters = pod.subscriber.counters();
        // Says what is wrong before the numbers themselves are looked at.
        let wrong = (counters.lost.get(), counters.gaps.get(), pod.subscriber.missing());
        assert_eq!(wrong, (0, 0, 0), "lost, gaps, missing: {:?}; {sent:?}; {dropped}", pod.counts());
        assert_eq!(counters.delivered.get(), MESSAGES);
        pod.assert_got(0..MESSAGES);
        repaired += counters.repaired.get();
    }
    // Of eight in a row both copies of at least one message are lost.
    let bursts = PODS as u64 * MESSAGES * 2 / 160;
    assert!(repaired > bursts, "{repaired} repairs for {bursts} bursts");
    assert!(sent["repairs_sent"] >= repaired, "{sent:?}");
    // Both directions lost one in twenty.
    assert_eq!(dropped.lines().count(), 2, "{dropped}");
    for line in dropped.lines() {
        let mut counts = line.split(['=', ' ']).filter_map(|word| word.parse::<f64>().ok());
        let share = counts.next().expect("dropped") / counts.next().expect("seen");
        assert!((0.045..0.055).contains(&share), "{line}");
    }
}

#[test]
fn a_megabyte_arrives_whole_over_a_path_that_loses_one_datagram_in_twenty() {
    let lab = Lab::up("--pods 4");
    let file = std::env::temp_dir().join(format!("headcast-lab-megabyte-{}", std::process::id()));
    // Nothing that could be mistaken for another part of itself.
    let bytes: Vec<u8> = crate::chance::Chance::new(1).bytes().take(1 << 20).collect();
    std::fs::write(&file, &bytes).expect("written");
    for (how, mode) in [("5", "dup+nak"), ("5 --burst 8", "dup+nak"), ("5 --burst 8", "nak")] {
        lab.run(&format!("drop {how}"));
        lab.run("drop 5 --at publisher");
        let listeners = Listener::start_all(&lab, 1..=4);
        let args = format!(
            "publish --to {NAME}:12000 --publisher-id {PUBLISHER} --mode {mode} --file {} --json --log-level error",
            file.display()
        );
        let output = lab.output("publisher", HEADCAST, &args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let totals = serde_json::from_slice(&output.stdout).expect("the totals");
        assert_eq!((count(&totals, "messages"), count(&totals, "unsent")), (1, 0));
        for listener in listeners {
            let heard = listener.stop();
            let messages: Vec<&String> = heard
                .0
                .iter()
                .filter_map(|told| match told {
                    Told::Message { payload_base64, .. } => payload_base64.as_ref(),
                    _ => None,
                })
                .collect();
            assert_eq!(messages.len(), 1, "{how}, {mode}: {:?}; {totals:?}", heard.totals());
            let got = BASE64_STANDARD.decode(messages[0]).expect("base64");
            assert!(got == bytes, "{how}, {mode}: the message is not what was sent");
            assert_eq!((heard.total("completed"), heard.total("lost")), (1, 0), "{how}, {mode}");
        }
    }
    std::fs::remove_file(&file).expect("removed");
}
