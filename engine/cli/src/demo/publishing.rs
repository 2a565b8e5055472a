//! The publisher, on a thread of its own, at a steady rate.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headcast::peers::Stop;
use headcast::{PublishError, Publisher};

use super::message;
use crate::failure::Failure;
use crate::report;

/// By how much messages may be late and still be sent all at once; of what is later than that the time is
/// given up. A burst would only fill the pods' buffers.
const LATE_MAX: Duration = Duration::from_millis(20);
/// The longest sleep outside of the publisher's own loop, which wakes up for second copies.
const NAP_MAX: Duration = Duration::from_micros(250);
/// How often a publisher that is always late looks at events, in messages.
const TURN_EVERY: u64 = 32;
/// How long it may take at the end until all copies are out.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// How far the publisher is, for any thread to read.
#[derive(Debug, Default)]
pub(super) struct Progress {
    published: AtomicU64,
    out: AtomicU64,
}

impl Progress {
    /// Messages published; the last one's sequence.
    pub(super) fn published(&self) -> u64 {
        self.published.load(Relaxed)
    }

    /// The last sequence that is out in all copies.
    pub(super) fn out(&self) -> u64 {
        self.out.load(Relaxed)
    }
}

/// What to publish.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Messages per second.
    pub(super) rate: f64,
    pub(super) duration: Duration,
}

/// The running publisher.
pub(super) struct Publishing {
    progress: Arc<Progress>,
    thread: JoinHandle<io::Result<Duration>>,
}

impl Publishing {
    /// Starts to publish; ends after the time that `pace` says, or when stopped.
    pub(super) fn start(publisher: Publisher, pace: Pace, stop: Stop) -> io::Result<Self> {
        let progress = Arc::new(Progress::default());
        let mut run = Run { publisher, progress: Arc::clone(&progress), pace, stop };
        let thread =
            std::thread::Builder::new().name("headcast-publisher".into()).spawn(move || run.run())?;
        Ok(Self { progress, thread })
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// All is out, or it failed.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// How many messages it published, how many of them went out in all copies, and for how long it published.
    pub(super) fn join(self) -> Result<(u64, u64, Duration), Failure> {
        let result = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        let elapsed = result.map_err(Failure::about("cannot send"))?;
        Ok((self.progress.published(), self.progress.out(), elapsed))
    }
}

struct Run {
    publisher: Publisher,
    progress: Arc<Progress>,
    pace: Pace,
    stop: Stop,
}

impl Run {
    fn run(&mut self) -> io::Result<Duration> {
        let elapsed = self.publish()?;
        self.publisher.close(CLOSE_MAX)?;
        self.book();
        Ok(elapsed)
    }

    fn publish(&mut self) -> io::Result<Duration> {
        let mut buffer = [0; message::LEN_MAX];
        let start = report::now();
        let mut schedule = Schedule { start, rate: self.pace.rate, given_up: Duration::ZERO };
        for number in 1.. {
            loop {
                let now = report::now();
                if now - start >= self.pace.duration || self.stop.is_stopped() {
                    return Ok(now - start);
                }
                match schedule.wait(number, now) {
                    Duration::ZERO => break,
                    wait => self.idle(wait)?,
                }
            }
            match self.publisher.publish(message::write(number, &mut buffer)) {
                Ok(_) => {}
                Err(PublishError::Socket(error)) => return Err(error),
                Err(error) => return Err(io::Error::other(error)),
            }
            if number % TURN_EVERY == 0 {
                self.publisher.turn(Some(Duration::ZERO))?;
            }
            self.progress.published.store(number, Relaxed);
            self.book();
        }
        Ok(start.elapsed())
    }

    /// Waits for at most `wait`, and sends second copies meanwhile.
    fn idle(&mut self, wait: Duration) -> io::Result<()> {
        // The poll counts in whole milliseconds and rounds up.
        let whole = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.publisher.turn(Some(whole.min(LATE_MAX)))?;
        if whole.is_zero() {
            std::thread::sleep(wait.min(NAP_MAX));
        }
        self.book();
        Ok(())
    }

    fn book(&self) {
        let waiting = self.publisher.backlog() as u64;
        self.progress.out.store(self.progress.published() - waiting.min(self.progress.published()), Relaxed);
    }
}

/// When each message is due: at its place from the start, not so long after the one before.
struct Schedule {
    start: Instant,
    rate: f64,
    given_up: Duration,
}

impl Schedule {
    /// How long to wait until message `number`, from 1, is due.
    fn wait(&mut self, number: u64, now: Instant) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "2^53 messages take longer than anybody waits")]
        let after = Duration::from_secs_f64((number - 1) as f64 / self.rate) + self.given_up;
        let since = now.saturating_duration_since(self.start);
        self.given_up += since.saturating_sub(after).saturating_sub(LATE_MAX);
        after.saturating_sub(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_little_late_is_made_up_for_and_what_is_very_late_is_given_up() {
        let start = report::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut schedule = Schedule { start, rate: 1000.0, given_up: Duration::ZERO };
        assert_eq!(schedule.wait(1, at(0)), Duration::ZERO);
        assert_eq!(schedule.wait(6, at(0)), Duration::from_millis(5));
        // 15 ms late: the next ones follow at once until the schedule is met again.
        assert_eq!(schedule.wait(6, at(20)), Duration::ZERO);
        assert_eq!(schedule.wait(22, at(20)), Duration::from_millis(1));
        // A second late: no burst of a thousand messages.
        assert_eq!(schedule.wait(22, at(1021)), Duration::ZERO);
        assert_eq!(schedule.given_up, Duration::from_millis(980));
        assert_eq!(schedule.wait(43, at(1021)), Duration::from_millis(1));
    }
}
