//! What a run came to, as it is told, stored and compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::drops::Drops;
use super::health::Health;
use super::latencies::Summary;
use super::ledger::Account;
use super::{Latencies, Machine, Paced};

/// The version of the JSON that results are stored in; another one means another thing.
pub const SCHEMA: u32 = 1;

/// One run: what was asked for, what happened, and whether it counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was asked for.
    pub settings: Settings,
    /// Where it ran.
    pub machine: Machine,
    /// Why the figures do not count; they do if this is empty.
    pub complaints: Vec<String>,
    /// What the sender saw.
    pub sent: Paced,
    /// What the sending system counts by itself.
    pub counters: BTreeMap<String, u64>,
    /// What the receivers saw; nothing when they are not ours.
    pub received: Option<Received>,
    /// Where datagrams were dropped.
    pub drops: Drops,
    /// How the machine did meanwhile.
    pub health: Health,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The system: `headcast`, `redis`...
    pub system: String,
    /// How it is set up, as far as that is not the usual: its mode, its options.
    pub variant: String,
    /// To whom, when the receivers are not ours.
    pub to: Option<String>,
    /// How many receivers; 0 when they are not ours.
    pub receivers: usize,
    /// Bytes of each payload.
    pub size: usize,
    /// Messages per second.
    pub rate: f64,
    /// Seconds before it counts.
    pub warm_up_s: f64,
    /// Seconds that count.
    pub duration_s: f64,
    /// The cores of the sender and of the receivers, where they are pinned.
    pub cores: Option<[usize; 2]>,
}

/// What all receivers got. Counts are of measured messages; latencies in nanoseconds from when a message was due.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Received {
    /// All receivers together: `received + lost` is what was sent, times the receivers. The longest gap is that of one.
    pub total: Account,
    /// Messages of the warm-up that came, which are in no other figure.
    pub warm_up: u64,
    /// Of each message at each receiver.
    pub latency: Latencies,
    /// Of each message at the first receiver that it reached.
    pub first: Latencies,
    /// Of each message at the receiver in the middle.
    pub median: Latencies,
    /// Of each message that reached all, at the last of them.
    pub last: Latencies,
    /// From the first to the last receiver, of each message that reached all.
    pub width: Latencies,
    /// Messages that did not reach all.
    pub incomplete: u64,
    /// When the last message came, `CLOCK_MONOTONIC`; 0 if none did.
    pub last_ns: u64,
    /// One by one, in the order in which the sender knows them.
    pub receivers: Vec<Receiver>,
    /// Second by second, by the time of arrival.
    pub series: Vec<Interval>,
    /// What the receiving systems count by themselves, all together.
    pub counters: BTreeMap<String, u64>,
}

/// What one receiver got.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receiver {
    /// The counts.
    #[serde(flatten)]
    pub account: Account,
    /// From due until it had the message.
    pub latency: Summary,
    /// Datagrams that its socket dropped because its buffer was full.
    pub socket_dropped: u64,
    /// Why nothing came any more, if that was so.
    pub closed: Option<String>,
}

/// A part of the time, with the latencies of what came in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// When it began, seconds of `CLOCK_MONOTONIC`.
    pub at_s: f64,
    /// How long it was, in seconds.
    pub length_s: f64,
    /// The latencies.
    pub latency: Summary,
    /// The same, as a line of a histogram log holds it.
    pub histogram: String,
}

impl Interval {
    /// Of these latencies.
    #[must_use]
    pub fn of(at_s: f64, length_s: f64, latencies: &Latencies) -> Self {
        // An encoding that fails leaves a line out of the log, and no figure.
        let histogram = latencies.encoded().unwrap_or_default();
        Self { at_s, length_s, latency: latencies.summary(), histogram }
    }
}

impl Outcome {
    /// Whether the figures count.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.complaints.is_empty()
    }

    /// The part of all deliveries that never came about, 0 to 1; `None` when the receivers are not ours.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        let total = self.received.as_ref()?.total;
        let all = total.received + total.lost;
        Some(if all == 0 { 0.0 } else { total.lost as f64 / all as f64 })
    }

    /// Messages delivered per second, all receivers together, from when the first was due until the last had come.
    #[must_use]
    pub fn delivered_per_s(&self) -> f64 {
        let Some(received) = &self.received else { return 0.0 };
        let took_ns = received.last_ns.saturating_sub(self.sent.start_ns);
        if took_ns == 0 { 0.0 } else { received.total.received as f64 * 1e9 / took_ns as f64 }
    }
}
