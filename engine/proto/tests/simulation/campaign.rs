//! Many worlds, on all cores.

use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

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
    let results = Mutex::new((0, Totals::default(), Vec::new()));
    on_all_cores(seeds, |at| {
        let seed = from.wrapping_add(at);
        let result = run(Plan::draw(seed), false);
        let (worlds, totals, failures) = &mut *lock(&results);
        *worlds += 1;
        if progress && *worlds % 50 == 0 {
            eprint!("\r{worlds} of {seeds} worlds");
            let _ = std::io::stderr().flush();
        }
        match result {
            Ok(of_this) => *totals += of_this,
            Err(violation) => failures.push((seed, violation)),
        }
        failures.is_empty()
    });
    if progress {
        eprint!("\r\x1b[K");
    }
    let (worlds, totals, mut failures) = std::mem::take(&mut *lock(&results));
    println!(
        "simulation: {worlds} seeds, {} failures, {} messages, {} datagrams, {} repairs, in {:.1} s",
        failures.len(),
        totals.messages,
        totals.datagrams,
        totals.repairs,
        started.elapsed().as_secs_f64()
    );
    failures.sort_by_key(|(seed, _)| *seed);
    match failures.first() {
        None => Ok(()),
        Some((seed, violation)) => Err(describe_seed(*seed, violation)),
    }
}

/// Calls `work` with each number below `count`, on all cores, until it says that this is enough.
pub(crate) fn on_all_cores(count: u64, work: impl Fn(u64) -> bool + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    if !work(at) {
                        next.store(count, Ordering::Relaxed);
                    }
                }
            });
        }
    });
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
    catch_unwind(AssertUnwindSafe(|| World::new(plan, told).run()))
        .unwrap_or_else(|_| Err(Violation { check: "nothing_panics", what: PANIC.with_borrow(Clone::clone) }))
}

/// Keeps what panics say for their violations, instead of printing it.
pub(crate) fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| PANIC.set(panic.to_string())));
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
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
