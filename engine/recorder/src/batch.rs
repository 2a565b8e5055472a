//! What passes between the data path and the store: responses in, receipts out.

use std::net::SocketAddr;

/// Who responds: one run of one subscriber. It numbers its responses from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Responder {
    /// The number of the subscriber, as it stands in the header of its responses.
    pub publisher: u32,
    /// Which run of it.
    pub session: u64,
}

/// The message that is answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subject {
    /// Who published it.
    pub publisher: u32,
    /// In which run.
    pub session: u64,
    /// On which stream.
    pub stream: u16,
    /// Its first sequence.
    pub seq: u64,
    /// Which message of its datagram it is, from 0; 0 for one that came alone.
    pub part: u16,
}

/// One response as it was received.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// Who responds.
    pub responder: Responder,
    /// Which of its responses this is, from 1.
    pub seq: u64,
    /// The lowest of its responses that the responder still holds; those below have been acknowledged.
    pub held_from: u64,
    /// Where it came from, and where its acknowledgement goes.
    pub source: SocketAddr,
    /// When it was received, in nanoseconds since the Unix epoch.
    pub received_ns: u64,
    /// Which message it answers.
    pub subject: Subject,
    /// The answer.
    pub result: &'a [u8],
}

/// Responses that are stored by one transaction.
///
/// All memory is taken when it is made; nothing is allocated while it is filled.
#[derive(Debug)]
pub struct Batch {
    entries: Vec<Entry>,
    results: Vec<u8>,
    rows_max: usize,
    bytes_max: usize,
}

/// A response without its result, which ends at `result_end` and begins where the one before ends.
#[derive(Clone, Copy, Debug)]
struct Entry {
    response: Response<'static>,
    result_end: usize,
}

impl Batch {
    /// Room for `rows_max` responses whose results are `bytes_max` bytes together.
    #[must_use]
    pub fn new(rows_max: usize, bytes_max: usize) -> Self {
        Self {
            entries: Vec::with_capacity(rows_max),
            results: Vec::with_capacity(bytes_max),
            rows_max,
            bytes_max,
        }
    }

    /// Bytes of memory for each response, beside its result.
    pub const ENTRY_BYTES: usize = size_of::<Entry>();

    /// Takes a copy of a response. False if there is no room for it: then nothing has changed.
    #[must_use]
    pub fn push(&mut self, response: &Response<'_>) -> bool {
        if self.entries.len() >= self.rows_max || response.result.len() > self.bytes_max - self.results.len()
        {
            return false;
        }
        self.results.extend_from_slice(response.result);
        let response = Response { result: &[], ..*response };
        self.entries.push(Entry { response, result_end: self.results.len() });
        true
    }

    /// The responses in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Response<'_>> {
        let mut begin = 0;
        self.entries.iter().map(move |entry| {
            let result = &self.results[begin..entry.result_end];
            begin = entry.result_end;
            Response { result, ..entry.response }
        })
    }

    /// How many responses there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no room for another one of any length.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.rows_max || self.results.len() >= self.bytes_max
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all results.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.results.len()
    }

    /// Forgets all responses and keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.results.clear();
    }
}

/// What one responder is to be told: one acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Whose responses.
    pub responder: Responder,
    /// Where the newest of them came from.
    pub source: SocketAddr,
    /// Every response below is stored.
    pub next: u64,
    /// And so is `next + 1 + i` for each bit i that is set.
    pub bitmap: u64,
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Responses that were not stored before and are now.
    pub stored: u64,
    /// Responses that were stored before.
    pub duplicates: u64,
    /// Responses too far ahead of what is stored of their responder; they will be sent again.
    pub ahead: u64,
    /// Messages that had no result before: new rows.
    pub rows: u64,
    /// Of those stored, the ones whose result is not the first that was given for their message.
    pub divergent: u64,
    /// Bytes of the results of those stored.
    pub bytes: u64,
    /// Responses that their responders no longer hold, and that are not stored.
    pub skipped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(seq: u64, result: &[u8]) -> Response<'_> {
        Response {
            responder: Responder { publisher: 7, session: 1 },
            seq,
            held_from: 1,
            source: ([10, 0, 0, 1], 9000).into(),
            received_ns: 5,
            subject: Subject { publisher: 3, session: 2, stream: 0, seq: 100 + seq, part: 4 },
            result,
        }
    }

    #[test]
    fn what_went_in_comes_out_in_order() {
        let mut batch = Batch::new(3, 8);
        for (seq, result) in [(1, &b"abc"[..]), (2, b""), (3, b"defgh")] {
            assert!(batch.push(&response(seq, result)));
        }
        let out: Vec<_> = batch.iter().map(|r| (r.seq, r.subject, r.result.to_vec())).collect();
        let subject = |seq| response(seq, b"").subject;
        let expected = [(1, &b"abc"[..]), (2, b""), (3, b"defgh")];
        assert_eq!(out, expected.map(|(seq, result)| (seq, subject(seq), result.to_vec())));
        assert_eq!((batch.len(), batch.bytes()), (3, 8));
    }

    #[test]
    fn without_room_nothing_is_taken_and_nothing_is_allocated() {
        let mut batch = Batch::new(2, 4);
        let memory = (batch.entries.capacity(), batch.results.capacity());
        assert!(!batch.push(&response(1, b"12345")));
        assert!(batch.push(&response(1, b"1234")));
        assert!(!batch.push(&response(2, b"1")));
        assert!(batch.push(&response(2, b"")));
        assert!(!batch.push(&response(3, b"")));
        assert_eq!((batch.len(), batch.bytes()), (2, 4));
        batch.clear();
        assert!(batch.is_empty() && batch.push(&response(4, b"4")));
        assert_eq!(batch.iter().next().map(|r| r.result), Some(&b"4"[..]));
        assert_eq!((batch.entries.capacity(), batch.results.capacity()), memory);
    }
}
