//! When each message is due, and sending it then: an open loop on an absolute schedule.

use std::io;
use std::time::Duration;

use headcast::clock::mono_ns;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::stamp::{STAMP_LEN, Stamp};
use super::{Latencies, Tally, Transport};

/// Between the call that starts it and the first message.
const LEAD_NS: u64 = 2_000_000;
/// What is left of a wait is spun away unless told otherwise, for a sleep ends late.
const SPIN: Duration = Duration::from_micros(80);
/// Messages that are due are handed over without a flush between them, but no more of them than this: as many as a system
/// can make anything of at a time, and few enough that none waits for long.
const BURST_MAX: u64 = 1024;
/// So far behind its schedule a sender gives up: what it was asked for is beyond what can be sent.
const PATIENCE_NS: u64 = 1_000_000_000;

/// A schedule: message `i` is due `i / rate` after the start.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Pace {
    /// Messages per second.
    pub rate: f64,
    /// How many messages there are, the warm-up's included.
    pub messages: u64,
    /// How many of them, from the first on, are not measured.
    pub warm_up: u64,
    /// Bytes of each payload, its stamp included.
    pub size: usize,
    /// The run that stamps name.
    pub run: u32,
}

/// What the sender saw. Times in nanoseconds; counts are of measured messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Paced {
    /// When the first measured message was due, `CLOCK_MONOTONIC`.
    pub start_ns: u64,
    /// From there until the last message was handed over.
    pub took_ns: u64,
    /// Messages handed over.
    pub sent: u64,
    /// Messages that were not taken.
    pub refused: u64,
    /// Messages that were never tried, because the sender was too far behind.
    pub abandoned: u64,
    /// From due to the start of sending.
    pub lag: Latencies,
    /// From the start of sending to its return.
    pub call: Latencies,
    /// The part of `lag` that is nobody's but the harness's own: it had nothing to do but wait, and woke late, or has not
    /// caught up since.
    pub own_lag: Latencies,
    /// Handed over in each second since the start.
    pub series: Vec<u64>,
}

impl Pace {
    /// So many messages per second for so long, after a warm-up.
    #[must_use]
    pub fn lasting(rate: f64, warm_up: Duration, duration: Duration, size: usize, run: u32) -> Self {
        let of = |time: Duration| whole(rate * time.as_secs_f64());
        let warm_up = of(warm_up);
        Self { rate, messages: warm_up + of(duration).max(1), warm_up, size, run }
    }

    /// How many messages are measured.
    #[must_use]
    pub fn measured(&self) -> u64 {
        self.messages - self.warm_up
    }

    /// When a message is due, in nanoseconds after the first one.
    #[must_use]
    pub fn due_ns(&self, seq: u64) -> u64 {
        whole(seq as f64 * 1e9 / self.rate)
    }

    /// Sends all messages, each when it is due or as soon after that as the transport lets us. The last 80 us of every
    /// wait are spun away.
    ///
    /// # Errors
    /// When the transport fails for good.
    ///
    /// # Panics
    /// If the payload is shorter than its stamp.
    pub fn play(&self, transport: &mut impl Transport) -> io::Result<Paced> {
        self.play_spinning(transport, SPIN)
    }

    /// The same, spinning for that long at most before each message. With nothing, it sleeps until a message is due, and
    /// wakes as late as any program does, some 50 us: what is due by then goes out together. As the work of the transport
    /// in its waits is not looked at, [`Paced::own_lag`] has that in it.
    ///
    /// # Errors
    /// As [`play`](Self::play).
    ///
    /// # Panics
    /// As [`play`](Self::play).
    pub fn play_spinning(&self, transport: &mut impl Transport, spin: Duration) -> io::Result<Paced> {
        assert!(self.size >= STAMP_LEN, "a payload of {} bytes has no room for its stamp", self.size);
        if !spin.is_zero() {
            wake_early();
        }
        let mut paced = Paced::default();
        let [mut lag, mut call, mut own_lag] = std::array::from_fn(|_| Tally::new());
        let mut payload = vec![0x5a; self.size];
        let start_ns = mono_ns() + LEAD_NS;
        paced.start_ns = start_ns + self.due_ns(self.warm_up);
        let (mut burst, mut own_ns) = (0, 0);
        let (mut due_ns, mut now_ns) = (start_ns, mono_ns());
        for seq in 0..self.messages {
            let waits = now_ns < due_ns;
            let mut worked_ns = 0;
            while now_ns < due_ns {
                let left_ns = due_ns - now_ns;
                let wait = Duration::from_nanos(left_ns).saturating_sub(spin);
                // Reading that clock is a system call, which must not be counted where system calls are.
                let before_ns = if spin.is_zero() { 0 } else { cpu_ns() };
                let worked = transport.idle(wait)? && !spin.is_zero();
                worked_ns = if worked { cpu_ns().saturating_sub(before_ns) } else { 0 };
                now_ns = mono_ns();
            }
            let lag_ns = now_ns - due_ns;
            own_ns = if waits {
                // What the transport did while the message became due is not the harness's doing, but what it slept, or
                // was kept from running, is.
                lag_ns.saturating_sub(worked_ns)
            } else {
                // Until it has caught up, the message before it is why this one is late.
                own_ns.min(lag_ns)
            };
            if lag_ns > PATIENCE_NS {
                paced.abandoned = self.messages - seq.max(self.warm_up);
                break;
            }
            Stamp { run: self.run, seq, due_ns }.write(&mut payload);
            let taken = transport.send(&payload)?;
            burst += 1;
            due_ns = start_ns + self.due_ns(seq + 1);
            // Also where the next message begins: as long as it is behind, one look at the clock a message is all.
            let mut end_ns = mono_ns();
            if end_ns < due_ns || burst == BURST_MAX || seq + 1 == self.messages {
                transport.flush()?;
                burst = 0;
                end_ns = mono_ns();
            }
            if seq >= self.warm_up {
                lag.record(lag_ns);
                call.record(end_ns - now_ns);
                own_lag.record(own_ns);
                paced.sent += u64::from(taken);
                paced.refused += u64::from(!taken);
                paced.count(end_ns);
            }
            now_ns = end_ns;
        }
        transport.flush()?;
        paced.took_ns = mono_ns().saturating_sub(paced.start_ns);
        [paced.lag, paced.call, paced.own_lag] = [lag, call, own_lag].map(|tally| tally.latencies());
        Ok(paced)
    }
}

impl Paced {
    fn count(&mut self, now_ns: u64) {
        let second = now_ns.saturating_sub(self.start_ns) / 1_000_000_000;
        // Bounded: a run is, and whoever falls behind gives up.
        let Ok(second) = usize::try_from(second) else { return };
        if second >= self.series.len() {
            self.series.resize(second + 1, 0);
        }
        self.series[second] += 1;
    }

    /// Messages per second that were handed over, of a schedule of `rate`: what is sent after its end was not sent at that
    /// rate, and what is left of the last interval is nobody's.
    #[must_use]
    pub fn achieved(&self, rate: f64) -> f64 {
        let schedule_s = (self.sent + self.refused + self.abandoned) as f64 / rate;
        self.sent as f64 / (self.took_ns as f64 / 1e9).max(schedule_s)
    }

    /// Messages per second that were handed over.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.took_ns == 0 { 0.0 } else { self.sent as f64 * 1e9 / self.took_ns as f64 }
    }
}

/// How long this thread has been running, in nanoseconds.
fn cpu_ns() -> u64 {
    // Without that clock all lag counts as the harness's own.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_or(0, |time| (time.tv_sec() * 1_000_000_000 + time.tv_nsec()).cast_unsigned())
}

/// A sleep of this thread ends when it should, as far as the kernel can: by default it may be 50 us late.
fn wake_early() {
    // Without it waits end later, and the run's own account says so.
    let _ = nix::sys::prctl::set_timerslack(1);
}

/// A number that is not negative, without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, which is what is meant"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_does_not_drift() {
        let pace = Pace { rate: 3.0, messages: 10, warm_up: 0, size: STAMP_LEN, run: 0 };
        assert_eq!(pace.due_ns(0), 0);
        assert_eq!(pace.due_ns(1), 333_333_333);
        assert_eq!(pace.due_ns(3_000_000), 1_000_000_000_000_000);
    }

    #[test]
    fn a_duration_and_a_rate_make_a_number_of_messages() {
        let pace = Pace::lasting(1_000.0, Duration::from_millis(500), Duration::from_secs(2), 128, 1);
        assert_eq!((pace.messages, pace.warm_up, pace.measured()), (2_500, 500, 2_000));
    }
}
