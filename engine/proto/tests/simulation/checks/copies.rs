//! Every copy goes out, in its time.

use super::{Checked, ensure};

/// What one run of a publisher has sent, datagram by datagram.
#[derive(Debug)]
pub(crate) struct Copies {
    copies: u64,
    spacing_ns: u64,
    /// If last copies trail by more datagrams than this, later copies may go out early.
    lag: u64,
    /// The sequence whose last copy went out last.
    done: u64,
    /// When each sequence went out first, from 1.
    first_ns: Vec<u64>,
    later: u64,
    last_timestamp: u64,
}

impl Copies {
    pub(crate) fn new(copies: usize, spacing_ns: u64, slots: usize) -> Self {
        let lag = (slots as u64 / 4).clamp(1, 2048);
        Self {
            copies: copies as u64,
            spacing_ns,
            lag,
            done: 0,
            first_ns: Vec::new(),
            later: 0,
            last_timestamp: 0,
        }
    }

    /// A datagram was sealed.
    pub(crate) fn timestamps_increase(&mut self, timestamp: u64) -> Checked {
        let last = std::mem::replace(&mut self.last_timestamp, timestamp);
        ensure(timestamp > last, "timestamps_increase", || format!("{timestamp} after {last}"))
    }

    /// A copy goes out.
    pub(crate) fn copies_are_spaced(&mut self, seq: u64, copy: u8, now_ns: u64) -> Checked {
        if copy == 0 {
            self.first_ns.resize(seq as usize, 0);
            self.first_ns[seq as usize - 1] = now_ns;
            return Ok(());
        }
        self.later += 1;
        let due_ns = self.first_ns[seq as usize - 1] + self.spacing_ns * ((1 << copy) - 1);
        let lags = self.first_ns.len() as u64 - self.done > self.lag;
        if u64::from(copy) + 1 == self.copies {
            self.done = seq;
        }
        ensure(now_ns >= due_ns || lags, "copies_are_spaced", || {
            format!("copy {copy} of {seq} goes out {} ns early", due_ns - now_ns)
        })
    }

    /// Nothing waits any more: each datagram has gone out as often as it was to, but for what was left out.
    pub(crate) fn every_copy_goes_out(&self, last_seq: u64, shed: u64) -> Checked {
        // What was dropped before it went out has no copies at all.
        let unsent = last_seq - self.first_ns.iter().filter(|at_ns| **at_ns > 0).count() as u64;
        let due = (last_seq - unsent) * (self.copies - 1);
        ensure(self.later + shed == due, "every_copy_goes_out", || {
            format!("{} later copies and {shed} left out, of {due}", self.later)
        })
    }
}
