//! Which copy of which datagram goes out next.
//!
//! All copies of a datagram leave from the ring slot that it was sealed in, pass by pass: copy 0 to
//! all peers, and copy `i` to all peers `spacing x (2^i - 1)` after that. Every datagram's copy `i`
//! is due the same time after its copy 0, so the copies of one rank are due in the order of their
//! sequences, and a cursor for each rank is the whole queue:
//!
//! ```text
//!            cursor[2]      cursor[1]         cursor[0]         end
//!                v              v                 v              v
//!  slots ... done | two copies out | one copy out | not out yet  | free ...
//! ```

/// The most copies of a datagram.
pub const COPIES_MAX: usize = 7;

/// What the path byte could number: a power of two, so that a mask keeps a rank within its array.
const RANKS: usize = 8;
const _: () = assert!(COPIES_MAX <= RANKS && RANKS.is_power_of_two());

/// A later copy that trails by more datagrams than this goes out at once, or not at all: a quarter of
/// the default receive window, so that a copy still finds the window that it is for.
pub const LAG_MAX: u64 = 2048;

/// What to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This copy of this datagram, now.
    Send {
        /// Of the datagram.
        seq: u64,
        /// 0 is the first.
        copy: u8,
    },
    /// Nothing before this time on the monotonic clock.
    At(u64),
    /// Nothing until something is published.
    Idle,
}

/// What was dropped to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Of which datagram.
    pub seq: u64,
    /// All of it, for it had not gone out once; otherwise only later copies.
    pub unsent: bool,
}

/// What becomes of later copies that first copies leave no time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lagging {
    /// They go out ahead of new first copies: nothing is dropped, publishers wait.
    Send,
    /// They are dropped: first copies come first.
    Shed,
}

/// The cursors over a ring of sealed datagrams.
#[derive(Clone, Debug)]
pub struct Schedule {
    offsets_ns: [u64; RANKS],
    copies: usize,
    /// The next sequence of each rank to go out; never ahead of the rank before.
    cursor: [u64; RANKS],
    /// One past the last sealed sequence.
    end: u64,
    /// When copy 0 went out, for each slot.
    sent_ns: Box<[u64]>,
    lag_max: u64,
    lagging: Lagging,
    shed: u64,
}

impl Schedule {
    /// A schedule of `copies` (1 to [`COPIES_MAX`]) for a ring of `slots` (a power of two).
    ///
    /// # Panics
    /// If either is anything else.
    #[must_use]
    pub fn new(slots: usize, copies: usize, spacing_ns: u64, lagging: Lagging) -> Self {
        assert!(slots.is_power_of_two(), "a ring has a power of two of slots");
        assert!((1..=COPIES_MAX).contains(&copies), "1 to 7 copies");
        let mut offsets_ns = [0; RANKS];
        for (rank, offset) in offsets_ns.iter_mut().enumerate() {
            *offset = spacing_ns.saturating_mul((1 << rank) - 1);
        }
        Self {
            offsets_ns,
            copies,
            cursor: [1; RANKS],
            end: 1,
            sent_ns: vec![0; slots].into_boxed_slice(),
            lag_max: LAG_MAX.min(slots as u64 / 4).max(1),
            lagging,
            shed: 0,
        }
    }

    /// Whether the slot of the next sequence is free: every copy of its last tenant has gone out.
    #[inline]
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.end - self.last_cursor() < self.sent_ns.len() as u64
    }

    /// The cursor of the last copies.
    #[inline]
    fn last_cursor(&self) -> u64 {
        self.cursor[(self.copies - 1) & (RANKS - 1)]
    }

    /// How many more datagrams can be sealed before the ring is full.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        self.sent_ns.len() - self.backlog()
    }

    /// Datagrams that still have copies to send.
    #[inline]
    #[must_use]
    pub fn backlog(&self) -> usize {
        usize::try_from(self.end - self.last_cursor()).unwrap_or(usize::MAX)
    }

    /// The oldest datagram that still has copies to send, if there is one.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.last_cursor()
    }

    /// Datagrams whose first copy has not gone out.
    #[inline]
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.end - self.cursor[0]
    }

    /// Whether the first copy of this datagram, and no other, is what goes out next.
    #[inline]
    #[must_use]
    pub fn is_alone(&self, seq: u64) -> bool {
        self.cursor[0] == seq && self.end == seq + 1 && seq - self.last_cursor() <= self.lag_max
    }

    /// Whether there are later copies that have not gone out.
    #[inline]
    #[must_use]
    pub fn has_later(&self) -> bool {
        self.last_cursor() < self.cursor[0]
    }

    /// The highest sequence whose first copy has gone out, and when; `None` before the first.
    #[inline]
    #[must_use]
    pub fn last_sent(&self) -> Option<(u64, u64)> {
        let seq = self.cursor[0] - 1;
        (seq > 0).then(|| (seq, self.sent_ns[self.slot(seq)]))
    }

    /// Later copies dropped so far.
    #[inline]
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed
    }

    /// Takes in the datagram that was sealed into the next slot.
    #[inline]
    pub fn push(&mut self) {
        debug_assert!(self.has_room());
        self.end += 1;
    }

    /// What goes out next: a first copy before any later one, unless that one lags too far.
    #[inline]
    pub fn next(&mut self, now_ns: u64) -> Next {
        if self.copies == 1 {
            return if self.cursor[0] < self.end {
                Next::Send { seq: self.cursor[0], copy: 0 }
            } else {
                Next::Idle
            };
        }
        if self.cursor[0] - self.last_cursor() > self.lag_max {
            match self.lagging {
                Lagging::Shed => self.shed_before(self.cursor[0] - self.lag_max),
                Lagging::Send => return self.earliest().0,
            }
        }
        if self.cursor[0] < self.end {
            return Next::Send { seq: self.cursor[0], copy: 0 };
        }
        match self.earliest() {
            (_, due_ns) if due_ns > now_ns && due_ns != u64::MAX => Next::At(due_ns),
            (next, _) => next,
        }
    }

    /// Whether this copy of the datagram after `seq` may be due as well.
    #[inline]
    #[must_use]
    pub fn goes_on(&self, seq: u64, copy: u8) -> bool {
        let rank = usize::from(copy) & (RANKS - 1);
        seq + 1 < if rank == 0 { self.end } else { self.cursor[rank - 1] }
    }

    /// How many datagrams from `seq` on this copy is due of, without a break: at least 1, at most `most`. `seq` is the
    /// next one of that copy. First copies do not run so far ahead that later ones lag too far, unless those are being
    /// shed already.
    #[must_use]
    pub fn run(&self, seq: u64, copy: u8, most: u64, now_ns: u64) -> u64 {
        let rank = usize::from(copy) & (RANKS - 1);
        let ahead = self.cursor[0] - self.last_cursor();
        let most = match self.lag_max.saturating_sub(ahead) {
            _ if rank > 0 || self.copies == 1 => most,
            0 if self.lagging == Lagging::Shed => most.min(self.lag_max),
            left => most.min(left),
        };
        let mut run = 1;
        while run < most && self.goes_on(seq + run - 1, copy) {
            let due_ns = self.sent_ns[self.slot(seq + run)].saturating_add(self.offsets_ns[rank]);
            if rank > 0 && due_ns > now_ns {
                break;
            }
            run += 1;
        }
        run
    }

    /// Books that a copy of each of `run` datagrams from `seq` on has gone out to all.
    pub fn sent_run(&mut self, seq: u64, run: u64, copy: u8, now_ns: u64) {
        for seq in seq..seq + run {
            self.sent(seq, copy, now_ns);
        }
    }

    /// The later copy that is due first, and when: [`Next::Idle`] when there is none.
    #[inline]
    fn earliest(&self) -> (Next, u64) {
        let mut earliest = (Next::Idle, u64::MAX);
        for rank in 1..self.copies {
            let seq = self.cursor[rank];
            if seq < self.cursor[rank - 1] {
                let due_ns = self.sent_ns[self.slot(seq)].saturating_add(self.offsets_ns[rank]);
                if due_ns < earliest.1 {
                    earliest = (Next::Send { seq, copy: u8::try_from(rank).unwrap_or(0) }, due_ns);
                }
            }
        }
        earliest
    }

    /// Books that a copy has gone out to all.
    #[inline]
    pub fn sent(&mut self, seq: u64, copy: u8, now_ns: u64) {
        let rank = usize::from(copy) & (RANKS - 1);
        debug_assert_eq!(self.cursor[rank], seq);
        if rank == 0 {
            let slot = self.slot(seq);
            self.sent_ns[slot] = now_ns;
        }
        self.cursor[rank] = seq + 1;
    }

    /// Drops the oldest datagram that still has copies to send, to make room: all of it if it has not
    /// gone out once, else its later copies.
    pub fn drop_oldest(&mut self) -> Dropped {
        let seq = self.last_cursor();
        let unsent = seq == self.cursor[0];
        if unsent {
            debug_assert!(seq < self.end, "only what was sealed can be dropped");
            self.cursor[..self.copies].fill(seq + 1);
        } else {
            self.shed_before(seq + 1);
        }
        Dropped { seq, unsent }
    }

    /// Gives up the later copies of everything before `seq`, which must have gone out once.
    fn shed_before(&mut self, seq: u64) {
        for rank in 1..self.copies {
            let skipped = seq.min(self.cursor[0]).saturating_sub(self.cursor[rank]);
            self.cursor[rank] += skipped;
            self.shed += skipped;
        }
    }

    #[inline]
    fn slot(&self, seq: u64) -> usize {
        // The ring's length is a power of two, and a usize holds any index into it.
        usize::try_from(seq & (self.sent_ns.len() as u64 - 1)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
