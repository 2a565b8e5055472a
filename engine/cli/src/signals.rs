//! SIGTERM and SIGINT: stop in good order; a second one, at once.

use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::report;

/// Signals within so long of the first are the same one.
const ONCE: Duration = Duration::from_millis(200);

/// The signals that ask to stop. From here on they no longer kill; they wait to be looked at.
pub(crate) struct Caught(Signals);

/// To be called before anything is opened: a signal that comes meanwhile must not leave half of it.
pub(crate) fn catch() -> Result<Caught, Failure> {
    Signals::new([SIGTERM, SIGINT]).map(Caught).map_err(Failure::about("cannot handle signals"))
}

impl Caught {
    /// Calls `stop` from another thread at the first signal.
    pub(crate) fn on_stop(mut self, stop: impl Fn() + Send + 'static) -> Result<(), Failure> {
        let watch = move || {
            // What `stop` owns, such as the means to wake another thread, lives as long as this thread.
            let mut signals = self.0.forever();
            if signals.next().is_some() {
                tracing::info!("stopping; a second signal stops at once");
                stop();
            }
            let first = report::now();
            // Who signals a process and then its group means it once.
            while signals.next().is_some() {
                if first.elapsed() >= ONCE {
                    std::process::exit(1);
                }
            }
        };
        let thread = std::thread::Builder::new().name("headcast-signals".into()).spawn(watch);
        thread.map(drop).map_err(Failure::about("cannot start a thread"))
    }
}
