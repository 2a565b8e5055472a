//! One trial: the processes of a system are started, one of them sends, and all that is to be known is put together.

use std::time::Duration;

use super::calls::Calls;
use super::cast::Cast;
use super::cost::Wire;
use super::{LATE_MAX, LOSS_MAX, Stage};
use crate::load::drops::Drops;
use crate::load::health::{ACHIEVED_MIN, Watch};
use crate::load::outcome::Received;
use crate::load::{Pace, Paced};

/// The longest that a sender spins before a message is due.
const SPIN_MAX: Duration = Duration::from_micros(80);
/// A sender that is this much later than its schedule does not end.
const SENT_WAIT: Duration = Duration::from_secs(5);
/// As long as receivers wait for what still comes, and a little more.
const RECEIVED_WAIT: Duration = Duration::from_secs(8);
/// In a search nobody waits for what has failed: what is lost is known after half a second of silence.
const SEARCH_WAIT: Duration = Duration::from_millis(1_500);
/// What was sent last takes part in the cost.
const SETTLE: Duration = Duration::from_millis(150);

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// How long messages take.
    Latency,
    /// Whether a rate is sustained.
    Search,
    /// What messages cost.
    Cost,
    /// How many system calls they take.
    Calls,
}

impl Purpose {
    /// For how long the sender spins before a message is due, at this rate. Only latencies need it to be there in time,
    /// and even then others may need its core: a tenth of the time is all that it spins away.
    fn spin(self, rate: f64) -> Duration {
        match self {
            Self::Latency => SPIN_MAX.min(Duration::from_secs_f64(0.1 / rate)),
            Self::Search | Self::Cost | Self::Calls => Duration::ZERO,
        }
    }

    /// Whether what was sent last takes part in the figures.
    fn settles(self) -> bool {
        matches!(self, Self::Cost | Self::Calls)
    }
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) system: &'a str,
    pub(super) receivers: usize,
    pub(super) size: usize,
}

/// How long it is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// Messages per second that were asked for.
    pub(super) rate: f64,
    /// Seconds that its measured messages should take.
    pub(super) duration_s: f64,
    pub(super) sent: Paced,
    pub(super) received: Received,
    /// What speaks against the figures.
    pub(super) complaints: Vec<String>,
    /// Seconds of a core, of all processes.
    pub(super) cpu_s: f64,
    /// Bytes on the wire, where they are known.
    pub(super) wire_bytes: Option<u64>,
    /// System calls, where they were counted.
    pub(super) calls: Option<u64>,
}

impl Trial {
    /// Tries it once.
    ///
    /// # Errors
    /// Says which process has failed, and why.
    pub(super) fn run(
        stage: &Stage,
        case: Case<'_>,
        rate: f64,
        length: Length,
        purpose: Purpose,
    ) -> Result<Self, String> {
        let run = getrandom::u32().map_err(|error| format!("no chance to be had: {error}"))?;
        let pace = Pace::lasting(rate, length.warm_up, length.duration, case.size, run);
        let directory = tempfile::Builder::new().prefix("headcast-bench-").tempdir();
        let directory = directory.map_err(|error| format!("no directory for a trial: {error}"))?;
        // Before everything that is counted is started.
        let mut calls = (purpose == Purpose::Calls).then(Calls::attach).transpose()?;
        let mut cast = Cast::start(stage, case, pace, purpose.spin(rate), directory.path())?;
        let before =
            Before { drops: Drops::now(), watch: Watch::start(), wire: Wire::now(), cpu_s: cast.cpu_s() };
        calls.as_mut().map_or(Ok(()), Calls::start)?;
        cast.sender.tell("start")?;
        let sent = cast.hear_sent(length.warm_up + length.duration + SENT_WAIT)?;
        let health = before.watch.end(&sent.paced);
        if purpose.settles() {
            std::thread::sleep(SETTLE);
        }
        let calls = calls.as_mut().map(Calls::stop).transpose()?;
        let cpu_s = cast.cpu_s() - before.cpu_s + sent.cpu_s;
        let wire = Wire::now().zip(before.wire);
        cast.receivers.tell(&format!("finish {}", sent.paced.sent))?;
        let wait = if purpose == Purpose::Search { SEARCH_WAIT } else { RECEIVED_WAIT };
        let received: Received = cast.receivers.hear("account of what came", wait)?;
        let messages = pace.warm_up + sent.paced.sent;
        let wire_bytes = wire.and_then(|wire| cast.wire_bytes(wire, &received, messages, case.size));
        let mut complaints = health.complaints(&sent.paced, rate);
        let closed = received.receivers.iter().filter_map(|receiver| receiver.closed.as_ref());
        complaints.extend(closed.map(|why| format!("a receiver has failed: {why}")));
        let dropped = Drops::now().since(before.drops).receive_buffer_errors;
        if dropped > 0 {
            complaints.push(format!("receive buffers were full: {dropped} datagrams were dropped"));
        }
        complaints.extend(cast.remark(&sent));
        cast.end();
        Ok(Self {
            rate,
            duration_s: pace.measured() as f64 / rate,
            sent: sent.paced,
            received,
            complaints,
            cpu_s,
            wire_bytes,
            calls,
        })
    }

    /// Whether everything was sent when it should be, next to nothing was lost, and the last message came soon after it
    /// was sent: nothing has piled up.
    pub(super) fn is_sustained(&self) -> bool {
        let in_time = u128::from(self.late_ns()) <= LATE_MAX.as_nanos();
        self.sent.achieved(self.rate) >= ACHIEVED_MIN * self.rate && self.loss() <= LOSS_MAX && in_time
    }

    /// The part of all deliveries that never came about, 0 to 1.
    fn loss(&self) -> f64 {
        let total = self.received.total;
        let all = total.received + total.lost;
        if all == 0 { 1.0 } else { total.lost as f64 / all as f64 }
    }

    /// Nanoseconds from the end of sending until the last message had come.
    fn late_ns(&self) -> u64 {
        self.received.last_ns.saturating_sub(self.sent.start_ns + self.sent.took_ns)
    }

    /// Messages that came, those of the warm-up included.
    pub(super) fn delivered(&self) -> u64 {
        self.received.total.received + self.received.warm_up
    }

    /// Messages delivered per second, all receivers together, from when the first was due until the last had come, and not
    /// faster than they were due.
    pub(super) fn delivered_per_s(&self) -> f64 {
        let took_ns = self.received.last_ns.saturating_sub(self.sent.start_ns);
        self.received.total.received as f64 / (took_ns as f64 / 1e9).max(self.duration_s)
    }
}

struct Before {
    drops: Drops,
    watch: Watch,
    wire: Option<Wire>,
    cpu_s: f64,
}
