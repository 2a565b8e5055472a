//! Many worlds, on all cores.

use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::checks::Violation;
use crate::plan::Plan;
use crate::world::{Totals, World};

/// Runs the world of one seed.
pub(crate) fn one(seed: u64, verbose: bool) -> Result<(), String> {
    if verbose {
        println!("{:#?}\n", Plan::draw(seed));
    }
    let totals = run(Plan::draw(seed), verbose).map_err(|violation| describe_seed(seed, &violation))?;
    println!("simulation: seed {seed} holds, {totals:?}");
    Ok(())
}

/// Runs the worlds of so many seeds, until one fails.
pub(crate) fn many(from: u64, seeds: u64) -> Result<(), String> {
    let started = now();
    let progress = std::io::stderr().is_terminal();
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let results = Mutex::new((Totals::default(), Vec::new()));
    std::thread::scope(|scope| {
        let (done, finished) = mpsc::channel::<()>();
        for _ in 0..threads() {
            let done = done.clone();
            let (next, failed, results) = (&next, &failed, &results);
            scope.spawn(move || {
                let mut sum = Totals::default();
                while !failed.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= seeds {
                        break;
                    }
                    let seed = from.wrapping_add(at);
                    match run(Plan::draw(seed), false) {
                        Ok(totals) => sum += totals,
                        Err(violation) => {
                            failed.store(true, Ordering::Relaxed);
                            lock(results).1.push((seed, violation));
                        }
                    }
                }
                lock(results).0 += sum;
                drop(done);
            });
        }
        drop(done);
        while progress && finished.recv_timeout(Duration::from_millis(500)) == Err(mpsc::RecvTimeoutError::Timeout) {
            let at = next.load(Ordering::Relaxed).min(seeds);
            eprint!("\r{at} of {seeds} worlds");
            let _ = std::io::stderr().flush();
        }
    });
    if progress {
        eprint!("\r\x1b[K");
    }
    let (totals, mut failures) = std::mem::take(&mut *lock(&results));
    failures.sort_by_key(|(seed, _)| *seed);
    let worlds = next.load(Ordering::Relaxed).min(seeds);
    println!(
        "simulation: {worlds} seeds, {} failures, {} messages, {} datagrams, {} deliveries, {} repairs, {} lost, in {:.1} s",
        failures.len(),
        totals.messages,
        totals.datagrams,
        totals.deliveries,
        totals.repairs,
        totals.lost,
        started.elapsed().as_secs_f64()
    );
    match failures.first() {
        None => Ok(()),
        Some((seed, violation)) => Err(describe_seed(*seed, violation)),
    }
}

/// What was violated, and how.
pub(crate) fn describe(Violation { check, what }: &Violation) -> String {
    format!("{check}: {what}")
}

fn describe_seed(seed: u64, violation: &Violation) -> String {
    let again = format!("cargo test -p headcast-proto --test simulation -- --seed {seed}");
    format!("seed {seed}: {}\nsee it again: {again} --verbose", describe(violation))
}

thread_local! {
    /// What the last panic of this thread said, and where.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs a world. A panic is a violation like any other.
pub(crate) fn run(plan: Plan, told: bool) -> Result<Totals, Violation> {
    catch_unwind(AssertUnwindSafe(|| World::new(plan, told).run())).unwrap_or_else(|_| {
        Err(Violation { check: "nothing_panics", what: PANIC.with_borrow(Clone::clone) })
    })
}

/// Keeps what panics say for their violations, instead of printing it.
pub(crate) fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| PANIC.set(panic.to_string())));
}

pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "how long it took is told; the worlds have their own time")]
fn now() -> Instant {
    Instant::now()
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.datagrams += other.datagrams;
        self.lost += other.lost;
        self.repairs += other.repairs;
        self.requests += other.requests;
        self.measured += other.measured;
        self.missed += other.missed;
        self.first_bytes += other.first_bytes;
        self.other_bytes += other.other_bytes;
    }
}
