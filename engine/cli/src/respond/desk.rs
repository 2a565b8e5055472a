//! Where answers become responses, and where everything is counted and told.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use headcast::{Origin, Responder};

use super::answer::{Outlet, Stray, Unanswered};
use super::tally::{Count, Tally};
use crate::report;

/// How often the log is told of messages without an answer, and of replies to none.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Hands answers to the responder.
pub(super) struct Desk {
    responder: Responder,
    tally: Tally,
    unanswered: Throttle,
    strays: Throttle,
}

impl Desk {
    pub(super) fn new(responder: Responder) -> Self {
        let (unanswered, strays) = (Throttle::default(), Throttle::default());
        Self { responder, tally: Tally::default(), unanswered, strays }
    }

    pub(super) fn responder(&self) -> &Responder {
        &self.responder
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    fn tell(&self, why: &dyn std::fmt::Display) {
        if self.unanswered.due() {
            let (unanswered, answered) = (self.tally.unanswered(), self.tally.get(Count::Answered));
            tracing::warn!(unanswered, answered, "messages are left without a response; the last one: {why}");
        }
    }
}

impl Outlet<Origin> for Desk {
    fn settle(&self, subject: &Origin, answer: Result<&[u8], Unanswered>) {
        match answer {
            Ok(result) => match self.responder.respond(subject, result) {
                Ok(()) => {
                    self.tally.add(Count::Answered);
                }
                Err(error) => {
                    self.tally.add(Count::from(&error));
                    self.tell(&error);
                }
            },
            Err(why) => {
                self.tally.add(Count::from(&why));
                self.tell(&why);
            }
        }
    }

    fn stray(&self, stray: Stray) {
        self.tally.add(stray.into());
        if self.strays.due() {
            let of = |count| self.tally.get(count);
            tracing::warn!(
                late = of(Count::Late),
                repeated = of(Count::Repeated),
                unawaited = of(Count::Unawaited),
                strangers = of(Count::Strangers),
                dropped = of(Count::Dropped),
                "not everything that goes to and comes from the application finds its place"
            );
        }
    }
}

/// At once, and then not again for a while.
#[derive(Default)]
struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    fn due(&self) -> bool {
        let now = report::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY);
        if due {
            *told = Some(now);
        }
        due
    }
}
