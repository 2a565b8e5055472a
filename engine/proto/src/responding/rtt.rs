//! The round trip to the recorder, the commit included, and how long to wait for it.

/// Before anything is known.
const TIMEOUT_START_NS: u64 = 50_000_000;
const TIMEOUT_MIN_NS: u64 = 20_000_000;
const TIMEOUT_MAX_NS: u64 = 1_000_000_000;

/// After RFC 6298, with other bounds: the time-out's least is that of a commit to a disk, not of a
/// continent.
#[derive(Clone, Debug, Default)]
pub(super) struct Rtt {
    /// 0 before the first sample.
    smoothed_ns: u64,
    variation_ns: u64,
    /// How often the time-out has doubled since.
    doublings: u32,
}

impl Rtt {
    pub(super) fn sample(&mut self, rtt_ns: u64) {
        let rtt_ns = rtt_ns.clamp(1, 60 * TIMEOUT_MAX_NS);
        if self.smoothed_ns == 0 {
            (self.smoothed_ns, self.variation_ns) = (rtt_ns, rtt_ns / 2);
        } else {
            let error_ns = self.smoothed_ns.abs_diff(rtt_ns);
            self.variation_ns = (3 * self.variation_ns + error_ns) / 4;
            self.smoothed_ns = (7 * self.smoothed_ns + rtt_ns) / 8;
        }
        self.doublings = 0;
    }

    pub(super) fn back_off(&mut self) {
        self.doublings = (self.doublings + 1).min(16);
    }

    pub(super) fn timeout_ns(&self) -> u64 {
        let timeout_ns = match self.smoothed_ns {
            0 => TIMEOUT_START_NS,
            smoothed_ns => (smoothed_ns + 4 * self.variation_ns).max(TIMEOUT_MIN_NS),
        };
        // At most 2^16 times a minute or two, in nanoseconds: far from overflow.
        (timeout_ns << self.doublings).min(TIMEOUT_MAX_NS)
    }

    pub(super) fn quarter_ns(&self) -> u64 {
        self.smoothed_ns / 4
    }
}
