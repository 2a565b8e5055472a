//! A run as text.

use std::fmt;

use crate::load::latencies::human;
use crate::load::outcome::{Received, Receiver};
use crate::load::{Latencies, Outcome};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, sent, .. } = self;
        let to = match &settings.to {
            Some(to) => to.clone(),
            None => format!("{} receivers", settings.receivers),
        };
        writeln!(
            f,
            "{} ({}) to {to}: {} B at {} messages/s for {} s\n",
            settings.system, settings.variant, settings.size, settings.rate, settings.duration_s
        )?;
        let names = ["p50", "p90", "p99", "p99.9", "most"];
        writeln!(f, "{:<34}{}", "", names.map(|name| format!("  {name:>9}")).concat())?;
        line(f, "due until it is sent", &sent.lag)?;
        line(f, "sending call until it returns", &sent.call)?;
        if let Some(received) = &self.received {
            line(f, "due until a receiver has it", &received.latency)?;
            line(f, "due until the first has it", &received.first)?;
            line(f, "due until half of them have it", &received.median)?;
            line(f, "due until the last has it", &received.last)?;
            line(f, "from the first to the last", &received.width)?;
        }
        writeln!(f, "\nsent      {:>12}  at {:.1} messages/s", sent.sent, sent.rate())?;
        if sent.refused + sent.abandoned > 0 {
            writeln!(
                f,
                "not sent  {:>12}  ({} refused, {} never tried)",
                sent.refused + sent.abandoned,
                sent.refused,
                sent.abandoned
            )?;
        }
        if let Some(received) = &self.received {
            counts(f, received)?;
        }
        let drops = self.drops;
        writeln!(
            f,
            "dropped   {:>12}  by receive buffers, {} by send buffers, {} without a listener",
            drops.receive_buffer_errors, drops.send_buffer_errors, drops.no_ports
        )?;
        if let Some(received) = &self.received {
            positions(f, &received.receivers)?;
        }
        let health = self.health;
        writeln!(
            f,
            "harness   {:>12}  of the cores busy, {:.2} % stolen, {:.3} % of wake-ups late, {} switches forced",
            format!("{:.0} %", 100.0 * health.busy),
            100.0 * health.steal,
            100.0 * health.late,
            health.involuntary_switches
        )?;
        if let Some(pauses) = health.pauses {
            writeln!(
                f,
                "pauses    {:>12}  of the receivers' side at most, p99 {}, {:.2} % more than 1 ms",
                human(pauses.max_ns),
                human(pauses.p99_ns),
                100.0 * pauses.late
            )?;
        }
        if self.is_valid() {
            return writeln!(f, "\nvalid: the schedule was kept");
        }
        writeln!(f, "\nNOT VALID: these figures do not count")?;
        self.complaints.iter().try_for_each(|why| writeln!(f, "  {why}"))
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, latencies: &Latencies) -> fmt::Result {
    if latencies.count() == 0 {
        return writeln!(f, "{name:<34}  {:>9}", "-");
    }
    writeln!(f, "{name:<34}{}", latencies.summary())
}

fn counts(f: &mut fmt::Formatter<'_>, received: &Received) -> fmt::Result {
    let total = &received.total;
    writeln!(f, "received  {:>12}  by all receivers together", total.received)?;
    let gap = if total.lost > 0 {
        format!("  {} messages did not reach all, longest gap {}", received.incomplete, total.longest_gap)
    } else {
        String::new()
    };
    writeln!(f, "lost      {:>12}{gap}", total.lost)?;
    writeln!(
        f,
        "twice     {:>12}  {} out of order, {} foreign",
        total.duplicates, total.reordered, total.foreign
    )
}

/// How the receivers fare whom the sender has first, in the middle and last.
fn positions(f: &mut fmt::Formatter<'_>, receivers: &[Receiver]) -> fmt::Result {
    let len = receivers.len();
    if len < 2 || receivers.iter().all(|receiver| receiver.latency.count == 0) {
        return Ok(());
    }
    let at = |position: usize| {
        let summary = &receivers[position].latency;
        format!("{} / {}", human(summary.p50_ns), human(summary.p99_ns))
    };
    writeln!(
        f,
        "position  {:>12}  {} (first), {} (middle), {} (last)",
        "p50 / p99",
        at(0),
        at(len / 2),
        at(len - 1)
    )
}
