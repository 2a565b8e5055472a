//! What one receiver got.

use serde::{Deserialize, Serialize};

/// The account of one receiver: one bit for each message of the run.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Bit `seq % 64` of word `seq / 64`: message `seq` came.
    seen: Vec<u64>,
    /// Messages of the run: a number from here on is nobody's.
    messages: u64,
    /// One more than the highest number that came.
    next: u64,
    received: u64,
    duplicates: u64,
    reordered: u64,
    foreign: u64,
}

/// What a message was to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It came for the first time.
    First,
    /// It had come before.
    Duplicate,
    /// It is none of this run.
    Foreign,
}

/// The sums of a [`Ledger`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Messages that came, each counted once.
    pub received: u64,
    /// Messages that never came, of those that were sent.
    pub lost: u64,
    /// Arrivals of messages that had come before.
    pub duplicates: u64,
    /// Messages that came first after one with a higher number (RFC 4737, Type-P-Reordered).
    pub reordered: u64,
    /// The longest run of consecutive messages that never came.
    pub longest_gap: u64,
    /// What came and was no message of this run.
    pub foreign: u64,
}

impl Ledger {
    /// Of a run with so many messages.
    #[must_use]
    pub fn new(messages: u64) -> Self {
        Self { seen: Vec::new(), messages, next: 0, received: 0, duplicates: 0, reordered: 0, foreign: 0 }
    }

    /// Writes down that a message came.
    #[inline]
    pub fn enter(&mut self, seq: u64) -> Entry {
        if seq >= self.messages {
            return self.enter_foreign();
        }
        let Ok(word) = usize::try_from(seq / 64) else { return self.enter_foreign() };
        let bit = 1 << (seq % 64);
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let seen = &mut self.seen[word];
        if *seen & bit != 0 {
            self.duplicates += 1;
            return Entry::Duplicate;
        }
        *seen |= bit;
        self.received += 1;
        if seq < self.next {
            self.reordered += 1;
        } else {
            self.next = seq + 1;
        }
        Entry::First
    }

    /// Writes down that something came which is none of this run.
    pub fn enter_foreign(&mut self) -> Entry {
        self.foreign += 1;
        Entry::Foreign
    }

    /// How many messages came, each counted once.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The sums, when messages 0 to `sent - 1` were sent.
    #[must_use]
    pub fn account(&self, sent: u64) -> Account {
        let Self { received, duplicates, reordered, foreign, .. } = *self;
        let lost = sent.saturating_sub(received);
        Account { received, lost, duplicates, reordered, longest_gap: self.longest_gap(sent), foreign }
    }

    fn longest_gap(&self, sent: u64) -> u64 {
        let (mut longest, mut gap) = (0, 0);
        let mut seq = 0;
        while seq < sent {
            let word =
                usize::try_from(seq / 64).ok().and_then(|word| self.seen.get(word)).copied().unwrap_or(0);
            // Whole words at once where nothing, or everything, came.
            let step = if seq % 64 == 0 && seq + 64 <= sent { 64 } else { 1 };
            match (step, word) {
                (64, 0) => (gap, seq) = (gap + 64, seq + 64),
                (64, u64::MAX) => (gap, seq) = (0, seq + 64),
                _ => {
                    gap = if word >> (seq % 64) & 1 == 0 { gap + 1 } else { 0 };
                    longest = longest.max(gap);
                    seq += 1;
                    // The rest of this word bit by bit.
                    while seq % 64 != 0 && seq < sent {
                        gap = if word >> (seq % 64) & 1 == 0 { gap + 1 } else { 0 };
                        longest = longest.max(gap);
                        seq += 1;
                    }
                }
            }
            longest = longest.max(gap);
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::statistics::SplitMix64;

    #[test]
    fn a_duplicate_and_a_reordering_are_counted_as_what_they_are() {
        let mut ledger = Ledger::new(10);
        let entries = [0, 1, 3, 2, 3, 3, 9, 10].map(|seq| ledger.enter(seq));
        use Entry::{Duplicate, First, Foreign};
        assert_eq!(entries, [First, First, First, First, Duplicate, Duplicate, First, Foreign]);
        let account = ledger.account(10);
        assert_eq!(
            account,
            Account { received: 5, lost: 5, duplicates: 2, reordered: 1, longest_gap: 5, foreign: 1 }
        );
    }

    #[test]
    fn nothing_received_is_one_gap() {
        for sent in [0, 1, 63, 64, 65, 1_000] {
            assert_eq!(Ledger::new(sent).account(sent).longest_gap, sent);
        }
    }

    #[test]
    fn it_agrees_with_a_naive_account_of_chance_arrivals() {
        for seed in 0..200 {
            let mut random = SplitMix64(seed);
            let sent = random.next() % 300;
            let mut ledger = Ledger::new(sent);
            let (mut seen, mut naive) = (BTreeSet::new(), Account::default());
            let dense = random.next() % 4 * 200;
            for _ in 0..dense {
                let seq = random.next() % (sent + 3);
                if seq >= sent {
                    naive.foreign += 1;
                } else if seen.contains(&seq) {
                    naive.duplicates += 1;
                } else {
                    naive.reordered += u64::from(seen.last().is_some_and(|last| *last > seq));
                    seen.insert(seq);
                }
                ledger.enter(seq);
            }
            naive.received = seen.len() as u64;
            naive.lost = sent - naive.received;
            let mut gap = 0;
            for seq in 0..sent {
                gap = if seen.contains(&seq) { 0 } else { gap + 1 };
                naive.longest_gap = naive.longest_gap.max(gap);
            }
            assert_eq!(ledger.account(sent), naive, "seed {seed}");
        }
    }
}
