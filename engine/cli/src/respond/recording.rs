//! An outlet for tests, which remembers what it was told.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::answer::{Outlet, Stray, Subject, Unanswered};
use super::tally::Count;

/// The longest that a test waits.
pub(super) const SOON: Duration = Duration::from_secs(30);

impl Subject for u64 {
    fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("HEADCAST_MESSAGE_PUBLISHER", "1".into()),
            ("HEADCAST_MESSAGE_SESSION", "2".into()),
            ("HEADCAST_MESSAGE_STREAM", "3".into()),
            ("HEADCAST_MESSAGE_SEQ", self.to_string()),
            ("HEADCAST_MESSAGE_PART", "4".into()),
        ]
    }
}

/// An answer, or the reason why there is none.
pub(super) type Outcome = Result<Vec<u8>, Count>;

#[derive(Default)]
pub(super) struct Recording {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Default)]
struct Told {
    settled: Vec<(u64, Outcome)>,
    strays: Vec<Stray>,
}

impl Recording {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What became of the first so many messages that were settled, in the order of their numbers.
    pub(super) fn settled(&self, count: usize) -> Vec<(u64, Outcome)> {
        let mut settled = self.wait(|told| (told.settled.len() >= count).then(|| told.settled.clone()));
        settled.sort_by_key(|(number, _)| *number);
        settled
    }

    /// The first so many strays.
    pub(super) fn strays(&self, count: usize) -> Vec<Stray> {
        self.wait(|told| (told.strays.len() >= count).then(|| told.strays.clone()))
    }

    fn wait<T>(&self, ready: impl Fn(&Told) -> Option<T>) -> T {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, _) =
            self.changed.wait_timeout_while(told, SOON, |told| ready(told).is_none()).expect("no panic");
        ready(&told).unwrap_or_else(|| panic!("only {:?} and {:?} came", told.settled, told.strays))
    }

    fn note(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().expect("no panic"));
        self.changed.notify_all();
    }
}

impl Outlet<u64> for Recording {
    fn settle(&self, subject: &u64, answer: Result<&[u8], Unanswered>) {
        let outcome = answer.map(<[u8]>::to_vec).map_err(|why| Count::from(&why));
        self.note(|told| told.settled.push((*subject, outcome)));
    }

    fn stray(&self, stray: Stray) {
        self.note(|told| told.strays.push(stray));
    }
}
