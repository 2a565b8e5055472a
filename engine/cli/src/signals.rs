//! SIGTERM and SIGINT: stop in good order; a second one, at once.

use std::io;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `stop` from another thread at the first signal.
pub(crate) fn on_stop(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("headcast-signals".into()).spawn(move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            tracing::info!("stopping; a second signal stops at once");
            stop();
        }
        if signals.next().is_some() {
            std::process::exit(1);
        }
    })?;
    Ok(())
}
