//! The answering end of repairs: which datagrams a receiver is sent again, and how many.
//!
//! Whoever asks is sent the stored bytes, and nobody else is. Since a request proves nothing, its cost
//! is bounded instead: by what one request may ask for, by a share of the stream's bytes for each
//! receiver, and by one repair of a sequence to a receiver in a round trip.

use std::collections::VecDeque;

use crate::body::{NakEntry, nak_sequences};

/// The most datagrams that one request is answered with.
pub const ANSWER_MAX: usize = 64;
/// How many repairs are remembered: the ones that wait to be sent, and the ones just sent.
const RECENT: usize = 1 << RECENT_BITS;
const RECENT_BITS: u32 = 14;
/// A receiver that starts again within this time is not welcomed again.
const WELCOME_AGAIN_S: u32 = 10;

/// How much a receiver is sent again at most.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Bytes of repairs for each thousand bytes of the stream.
    pub share_permille: u32,
    /// Bytes that a receiver may be sent at once, if it has not asked for a while.
    pub burst: u32,
    /// Further bytes for a receiver that has just started, for what was sent before.
    pub welcome: u32,
    /// The shortest time between two repairs of a sequence to a receiver.
    pub interval_ns: u64,
}

/// What one receiver may still be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credit {
    /// Of the receiver that was welcomed last; 0 for none.
    session: u64,
    /// The stream's bytes when the credit was last topped up.
    stream_bytes: u64,
    bytes: u32,
    /// The same for what was sent before it was welcomed: up to this sequence.
    past_bytes: u32,
    past_end: u64,
    /// When it was welcomed, in seconds from 1; 0 for never.
    welcomed_s: u32,
}

/// A datagram that is to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// To whom, by its place in the peer set.
    pub peer: u32,
    /// Which.
    pub seq: u64,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Its place in the peer set.
    pub peer: u32,
    /// The session in its request's header.
    pub session: u64,
    /// Now, on the monotonic clock.
    pub now_ns: u64,
    /// Bytes of all datagrams that the stream has sealed so far, and the last sequence.
    pub stream_bytes: u64,
    /// See above.
    pub last_seq: u64,
}

/// What became of the datagrams that a request asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// They will be sent.
    pub queued: u64,
    /// Not stored any more, or not sent yet.
    pub gone: u64,
    /// They were sent a moment ago, or wait to be.
    pub repeated: u64,
    /// The receiver has had its share.
    pub over_budget: u64,
    /// More than one request is answered with.
    pub excess: u64,
    /// Too many wait already.
    pub full: u64,
}

/// The repairs that wait, and those that have just been sent.
#[derive(Debug)]
pub struct Repairs {
    policy: Policy,
    waiting: VecDeque<Repair>,
    /// By a hash of receiver and sequence. A place that is taken is not taken twice, so what is
    /// remembered is never forgotten too early.
    recent: Box<[Recent]>,
}

#[derive(Clone, Copy, Debug)]
struct Recent {
    repair: Repair,
    /// Until when it is remembered; `u64::MAX` while it waits.
    until_ns: u64,
}

impl Repairs {
    /// Nothing waits yet. Memory: 640 KiB.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let free = Recent { repair: Repair { peer: 0, seq: 0 }, until_ns: 0 };
        Self { policy, waiting: VecDeque::with_capacity(RECENT), recent: vec![free; RECENT].into() }
    }

    /// Takes a request in: what can be answered waits to be sent. `stored` gives the length of the datagram
    /// of a sequence that has gone out and is still stored.
    pub fn ask(
        &mut self,
        asker: Asker,
        credit: &mut Credit,
        entries: &[NakEntry],
        stored: impl Fn(u64) -> Option<usize>,
    ) -> Asked {
        credit.top_up(&self.policy, asker);
        let mut asked = Asked::default();
        let named: u64 = entries.iter().map(|entry| 1 + u64::from(entry.bitmap.get().count_ones())).sum();
        let most = named.min(ANSWER_MAX as u64);
        for (seq, done) in nak_sequences(entries).zip(0..most) {
            let count = match stored(seq) {
                None => &mut asked.gone,
                Some(len) => self.queue(asker, credit, seq, len, &mut asked),
            };
            *count += 1;
            if asked.over_budget > 0 {
                // Nor will there be a share for the rest, which is not even looked at: who asks without end is cheap.
                asked.over_budget += most - done - 1;
                break;
            }
        }
        asked.excess = named - most;
        asked
    }

    fn queue<'a>(
        &mut self,
        asker: Asker,
        credit: &mut Credit,
        seq: u64,
        len: usize,
        asked: &'a mut Asked,
    ) -> &'a mut u64 {
        let repair = Repair { peer: asker.peer, seq };
        let recent = &mut self.recent[place(repair)];
        if recent.until_ns > asker.now_ns {
            return if recent.repair == repair { &mut asked.repeated } else { &mut asked.full };
        }
        if !credit.pay(seq, len) {
            return &mut asked.over_budget;
        }
        *recent = Recent { repair, until_ns: u64::MAX };
        // Each one that waits has a place of its own in `recent`, so there is room.
        self.waiting.push_back(repair);
        &mut asked.queued
    }

    /// The next one to send, if any waits.
    #[inline]
    pub fn next(&mut self, now_ns: u64) -> Option<Repair> {
        let repair = self.waiting.pop_front()?;
        self.recent[place(repair)].until_ns = now_ns.saturating_add(self.policy.interval_ns);
        Some(repair)
    }

    /// Whether none waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets everything: the peers have changed their places. Returns how many were waiting; whoever
    /// still needs them asks again.
    pub fn clear(&mut self) -> usize {
        let waiting = self.waiting.len();
        self.waiting.clear();
        for recent in &mut self.recent {
            recent.until_ns = 0;
        }
        waiting
    }
}

impl Credit {
    /// Pays for a datagram, if there is enough left.
    fn pay(&mut self, seq: u64, len: usize) -> bool {
        let Ok(len) = u32::try_from(len) else { return false };
        let purse = if seq <= self.past_end && self.past_bytes >= len {
            &mut self.past_bytes
        } else {
            &mut self.bytes
        };
        let left = purse.checked_sub(len);
        *purse = left.unwrap_or(*purse);
        left.is_some()
    }

    /// Adds what the stream has earned the receiver since it last asked.
    fn top_up(&mut self, policy: &Policy, asker: Asker) {
        let now_s = u32::try_from(asker.now_ns / 1_000_000_000).unwrap_or(u32::MAX - 1) + 1;
        if self.stream_bytes == 0 {
            self.bytes = policy.burst;
            self.stream_bytes = asker.stream_bytes;
        }
        let earned = u128::from(asker.stream_bytes.saturating_sub(self.stream_bytes))
            * u128::from(policy.share_permille)
            / 1000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.bytes = self.bytes.saturating_add(earned).min(policy.burst);
            self.stream_bytes = asker.stream_bytes;
        }
        let again = self.welcomed_s == 0 || now_s.saturating_sub(self.welcomed_s) >= WELCOME_AGAIN_S;
        if self.session != asker.session && again {
            self.session = asker.session;
            self.welcomed_s = now_s;
            (self.past_bytes, self.past_end) = (policy.welcome, asker.last_seq);
        }
    }
}

#[inline]
fn place(repair: Repair) -> usize {
    // Fibonacci hashing: the high bits of the product are the best mixed.
    let key = repair.seq ^ u64::from(repair.peer).rotate_left(40);
    usize::try_from(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - RECENT_BITS)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
