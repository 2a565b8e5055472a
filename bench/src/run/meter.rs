//! Whether the receivers' side could run: what else takes their core, or stops the whole machine, is in every latency.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use headcast::clock::mono_ns;

use crate::load::health::Pauses;
use crate::load::{Latencies, pin};

/// How often it is due to wake, in nanoseconds.
const TICK_NS: u64 = 1_000_000;

/// A thread that has nothing to do but wake, on the core of the receivers. Ends when it goes out of scope.
pub(super) struct Meter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Latencies>>>,
}

impl Meter {
    /// From now on; on any core if none is named.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(core: Option<usize>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("idle meter".into()).spawn(move || {
            core.map_or(Ok(()), pin::pin)?;
            let mut ticks = Ticks::from(mono_ns());
            while !stopped.load(Relaxed) {
                std::thread::sleep(Duration::from_nanos(ticks.due_ns.saturating_sub(mono_ns())));
                ticks.wake(mono_ns());
            }
            Ok(ticks.late)
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// What it saw until now.
    ///
    /// # Errors
    /// When it could not run on that core.
    pub(super) fn end(mut self) -> io::Result<Pauses> {
        self.stop.store(true, Relaxed);
        let joined = self.thread.take().map(JoinHandle::join);
        let late =
            joined.and_then(Result::ok).ok_or_else(|| io::Error::other("the idle meter has failed"))?;
        Ok(Pauses::of(&late?))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// Wake-ups on an absolute schedule, as messages are sent: those that a pause swallowed were late as well, each by its
/// own due time. One long pause would otherwise be one wake-up among thousands.
struct Ticks {
    due_ns: u64,
    late: Latencies,
}

impl Ticks {
    fn from(now_ns: u64) -> Self {
        Self { due_ns: now_ns + TICK_NS, late: Latencies::new() }
    }

    fn wake(&mut self, now_ns: u64) {
        while self.due_ns <= now_ns {
            self.late.record(now_ns - self.due_ns);
            self.due_ns += TICK_NS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_for_as_many_wake_ups_as_it_swallowed() {
        let mut ticks = Ticks::from(0);
        (1..=950).for_each(|tick| ticks.wake(tick * TICK_NS + 60_000));
        assert_eq!((ticks.late.count(), ticks.late.summary().max_ns / 1_000), (950, 60));
        // Nothing runs for 50 ms.
        ticks.wake(1_000 * TICK_NS);
        assert_eq!(ticks.late.count(), 1_000);
        assert_eq!(ticks.late.histogram().count_between(5_500_000, u64::MAX), 44);
        let pauses = Pauses::of(&ticks.late);
        assert!(pauses.p99_ns > 30_000_000 && pauses.max_ns >= 49_000_000, "{pauses:?}");
    }

    #[test]
    fn a_meter_wakes_until_it_is_ended() {
        let meter = Meter::start(None).expect("a thread");
        let start_ns = mono_ns();
        std::thread::sleep(Duration::from_millis(20));
        let pauses = meter.end().expect("it ran");
        assert!(pauses.max_ns > 0, "no wake-up is exact");
        assert!(pauses.max_ns <= mono_ns() - start_ns, "{pauses:?}");
    }

    #[test]
    fn a_core_that_is_not_there_is_told() {
        assert!(Meter::start(Some(1_000_000)).expect("a thread").end().is_err());
    }
}
