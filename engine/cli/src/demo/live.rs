//! What a terminal shows while it runs.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often it changes.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// A few lines at the bottom of a terminal; nothing elsewhere.
pub(super) struct Live {
    bar: ProgressBar,
    said: bool,
}

/// How things stand.
pub(super) struct Standing {
    pub(super) ready: usize,
    pub(super) peers: usize,
    pub(super) published: u64,
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) rescued: u64,
    pub(super) lost: u64,
}

impl Live {
    /// `quiet` says nothing at all.
    pub(super) fn start(duration: Duration, quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stdout() };
        let len = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let bar = ProgressBar::with_draw_target(Some(len), target);
        // Without a template that works there is still the default one.
        if let Ok(style) = ProgressStyle::with_template("\n{bar:40} {prefix}\n{msg}") {
            bar.set_style(style.progress_chars("#>-"));
        }
        Self { bar, said: !quiet }
    }

    /// A line that stays.
    pub(super) fn say(&self, line: &str) {
        if self.said {
            // A reader that has gone away is noticed at the end.
            self.bar.suspend(|| drop(super::print(line)));
        }
    }

    pub(super) fn show(&self, now: Duration, standing: &Standing) {
        if self.bar.is_hidden() {
            return;
        }
        let rows = [
            ("pods ready", standing.ready as u64),
            ("peers in the set", standing.peers as u64),
            ("messages published", standing.published),
            ("datagrams received", standing.received),
            ("duplicates dropped", standing.duplicates),
            ("rescued by 2nd copy", standing.rescued),
            ("lost: both dropped", standing.lost),
        ];
        let rows = rows.map(|(name, count)| format!("  {name:<20} {:>12}", HumanCount(count).to_string()));
        self.bar.set_prefix(format!("{:.1} s", now.as_secs_f64()));
        self.bar.set_message(rows.join("\n"));
        self.bar.set_position(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
