//! Whether the harness could do what it was asked to: a run that it could not sustain does not count.

use std::fs;

use headcast::clock::mono_ns;
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use super::latencies::human;
use super::{Latencies, Paced};

/// The part of its schedule that a sender must have kept.
pub const ACHIEVED_MIN: f64 = 0.995;
/// A wake-up that is later than this is late.
const LATE_NS: u64 = 1_000_000;
/// The part of all wake-ups that may be late.
const LATE_SHARE_MAX: f64 = 0.001;
/// What every hundredth wake-up of the receivers' side may be late by. Their own thread may hold the core for a slice of
/// the scheduler, some 3 ms, without anything being wrong.
const PAUSE_P99_MAX_NS: u64 = 5_000_000;
/// The part of the time that another virtual machine may have had a core that this one wanted.
const STEAL_SHARE_MAX: f64 = 0.02;

/// What the machine and the harness's own process went through during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Seconds of the run.
    pub wall_s: f64,
    /// The part of the time of all cores that another virtual machine had, 0 to 1.
    pub steal: f64,
    /// The part of the time of all cores that was spent on anything, 0 to 1.
    pub busy: f64,
    /// Seconds of a core that this process took.
    pub cpu_s: f64,
    /// Times that a thread of this process gave up its core by itself.
    pub voluntary_switches: u64,
    /// Times that one had to.
    pub involuntary_switches: u64,
    /// The part of the messages before which the harness itself woke more than 1 ms late, 0 to 1.
    pub late: f64,
    /// How the receivers' side was held up; nothing when it is not ours, or was not looked at.
    pub pauses: Option<Pauses>,
}

/// By how much a thread woke late that had nothing else to do than to wake every millisecond, on the receivers' core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pauses {
    /// The part of its wake-ups that were more than 1 ms late, 0 to 1.
    pub late: f64,
    /// 99 % of them were late by at most so many nanoseconds.
    pub p99_ns: u64,
    /// None was later.
    pub max_ns: u64,
}

impl Pauses {
    /// Of these delays.
    #[must_use]
    pub fn of(late: &Latencies) -> Self {
        let above = late.histogram().count_between(LATE_NS, u64::MAX) as f64;
        let summary = late.summary();
        Self { late: above / late.count().max(1) as f64, p99_ns: summary.p99_ns, max_ns: summary.max_ns }
    }
}

/// A run being watched.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    start_ns: u64,
    jiffies: Jiffies,
    usage: Usage,
}

impl Watch {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self { start_ns: mono_ns(), jiffies: Jiffies::now(), usage: Usage::now() }
    }

    /// Until now, by the account of the sender.
    #[must_use]
    pub fn end(&self, paced: &Paced) -> Health {
        let (jiffies, usage) = (Jiffies::now(), Usage::now());
        let all = jiffies.all.saturating_sub(self.jiffies.all).max(1) as f64;
        let idle = jiffies.idle.saturating_sub(self.jiffies.idle) as f64;
        let late = paced.own_lag.histogram().count_between(LATE_NS, u64::MAX) as f64;
        Health {
            wall_s: mono_ns().saturating_sub(self.start_ns) as f64 / 1e9,
            steal: jiffies.steal.saturating_sub(self.jiffies.steal) as f64 / all,
            busy: 1.0 - (idle / all).min(1.0),
            cpu_s: usage.cpu_s - self.usage.cpu_s,
            voluntary_switches: usage.voluntary.saturating_sub(self.usage.voluntary),
            involuntary_switches: usage.involuntary.saturating_sub(self.usage.involuntary),
            late: late / paced.own_lag.count().max(1) as f64,
            pauses: None,
        }
    }
}

impl Health {
    /// What speaks against the figures of a run at `rate` messages per second.
    #[must_use]
    pub fn complaints(&self, paced: &Paced, rate: f64) -> Vec<String> {
        let mut complaints = Vec::new();
        let achieved = paced.achieved(rate);
        if achieved < ACHIEVED_MIN * rate {
            let (abandoned, refused) = (paced.abandoned, paced.refused);
            complaints.push(format!(
                "the rate was not sustained: {achieved:.0} of {rate:.0} messages/s were sent ({refused} refused, \
                 {abandoned} never tried: a sender that is a second behind gives up)"
            ));
        }
        if self.late > LATE_SHARE_MAX {
            let own = paced.own_lag.summary();
            complaints.push(format!(
                "the harness itself was late: for {:.2} % of the messages it woke more than 1 ms after they were due, \
                 which may be so for 0.1 % (p99 {}, at most {})",
                100.0 * self.late,
                human(own.p99_ns),
                human(own.max_ns),
            ));
        }
        if let Some(pauses) = self.pauses.filter(|pauses| pauses.p99_ns > PAUSE_P99_MAX_NS) {
            complaints.push(format!(
                "the receivers' side paused: 1 % of the wake-ups due there every millisecond were {} late or more (at \
                 most {})",
                human(pauses.p99_ns),
                human(pauses.max_ns),
            ));
        }
        if self.steal > STEAL_SHARE_MAX {
            complaints
                .push(format!("other virtual machines had {:.1} % of the cores' time", 100.0 * self.steal));
        }
        complaints
    }
}

/// Of all cores, in units of `USER_HZ` (`proc_stat(5)`).
#[derive(Clone, Copy, Debug, Default)]
struct Jiffies {
    all: u64,
    idle: u64,
    steal: u64,
}

impl Jiffies {
    fn now() -> Self {
        fs::read_to_string("/proc/stat").ok().and_then(|text| Self::of(&text)).unwrap_or_default()
    }

    fn of(text: &str) -> Option<Self> {
        let fields = text.lines().next()?.strip_prefix("cpu ")?;
        let counts: Vec<u64> = fields.split_whitespace().map_while(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; what guests had is in user as well.
        let [_, _, _, idle, iowait, _, _, steal] = counts.get(..8)?.try_into().ok()?;
        Some(Self { all: counts[..8].iter().sum(), idle: idle + iowait, steal })
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    cpu_s: f64,
    voluntary: u64,
    involuntary: u64,
}

impl Usage {
    fn now() -> Self {
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Self::default() };
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Self {
            cpu_s: seconds(usage.user_time()) + seconds(usage.system_time()),
            voluntary: usage.voluntary_context_switches().cast_unsigned(),
            involuntary: usage.involuntary_context_switches().cast_unsigned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paced(sent: u64, took_ns: u64, own_lags_ns: &[u64]) -> Paced {
        let mut paced = Paced { sent, took_ns, ..Paced::default() };
        own_lags_ns.iter().for_each(|ns| paced.own_lag.record(*ns));
        paced
    }

    fn complaints(paced: &Paced) -> Vec<String> {
        Watch::start().end(paced).complaints(paced, 1_000.0)
    }

    #[test]
    fn a_run_that_kept_its_schedule_counts() {
        let paced = paced(1_000, 1_000_000_000, &[20_000; 1_000]);
        let health = Health { steal: 0.0, ..Watch::start().end(&paced) };
        assert_eq!(health.complaints(&paced, 1_000.0), Vec::<String>::new());
    }

    #[test]
    fn a_run_that_took_longer_than_its_schedule_does_not() {
        let complaints = complaints(&paced(1_000, 1_006_000_000, &[20_000; 1_000]));
        assert!(complaints[0].contains("994 of 1000 messages/s"), "{complaints:?}");
    }

    #[test]
    fn nor_one_of_which_messages_were_not_taken() {
        let complaints = complaints(&paced(990, 1_000_000_000, &[20_000; 1_000]));
        assert!(complaints[0].contains("the rate was not sustained"), "{complaints:?}");
    }

    #[test]
    fn nor_one_whose_harness_woke_late() {
        let mut lags = [20_000; 1_000];
        lags[..2].fill(1_100_000);
        let complaints = complaints(&paced(1_000, 1_000_000_000, &lags));
        assert!(complaints[0].contains("the harness itself was late"), "{complaints:?}");
    }

    #[test]
    fn nor_one_whose_receivers_side_paused() {
        let paced = paced(1_000, 1_000_000_000, &[20_000; 1_000]);
        let complaints = |late_ns, times| {
            let mut late = Latencies::new();
            (0..1_000 - times).for_each(|_| late.record(100_000));
            (0..times).for_each(|_| late.record(late_ns));
            let pauses = Some(Pauses::of(&late));
            let health = Health { steal: 0.0, pauses, ..Watch::start().end(&paced) };
            health.complaints(&paced, 1_000.0)
        };
        let told = complaints(6_000_000, 20);
        assert!(told.len() == 1 && told[0].contains("the receivers' side paused"), "{told:?}");
        assert_eq!(
            complaints(3_000_000, 500),
            Vec::<String>::new(),
            "the receivers' own thread has the core"
        );
        assert_eq!(complaints(50_000_000, 9), Vec::<String>::new(), "less than a hundredth");
    }

    #[test]
    fn time_that_was_stolen_is_read_where_the_kernel_writes_it() {
        let jiffies = Jiffies::of("cpu  10 1 20 300 5 2 3 40 7 0\ncpu0 1 1\n").expect("a line");
        assert_eq!((jiffies.all, jiffies.idle, jiffies.steal), (381, 305, 40));
    }
}
