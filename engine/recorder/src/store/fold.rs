//! Makes one row of all responses of a batch to one message, and finds out who says something else.

use std::collections::HashMap;

use super::backend::{Amendment, Key, Mismatch, Row, Said, Stream};
use super::known::Known;
use crate::Response;

/// A response that is not stored yet.
pub(super) struct Fresh<'a> {
    pub(super) response: Response<'a>,
    /// Whose it is, in [`Known`].
    pub(super) slot: usize,
    /// The row of its message.
    pub(super) row: usize,
    /// The id of its responder.
    pub(super) responder_id: i64,
}

impl<'a> Fresh<'a> {
    /// The response as it is stored.
    pub(super) fn said(&self, rows: &[Row<'_>]) -> Said<'a> {
        Said {
            key: rows[self.row].key,
            responder_id: self.responder_id,
            response_seq: self.response.seq,
            result: self.response.result,
            recorded_ns: self.response.received_ns,
        }
    }
}

/// Which message has which row; the memory is used again.
#[derive(Default)]
pub(super) struct Fold {
    /// Only for batches whose messages are not in order: most are, and a search among sorted rows costs less.
    places: HashMap<Key, usize>,
}

/// The rows of a batch while it is folded.
struct Rows<'a, 'f> {
    rows: Vec<Row<'a>>,
    sorted: bool,
    places: &'f mut HashMap<Key, usize>,
}

impl Rows<'_, '_> {
    /// The row of a message, if it has one; else the next one that is pushed must be its.
    fn find(&mut self, key: Key) -> Option<usize> {
        if !self.sorted {
            return self.places.get(&key).copied();
        }
        if self.rows.last().is_none_or(|last| last.key < key) {
            return None;
        }
        let found = self.rows.binary_search_by_key(&key, |row| row.key).ok();
        if found.is_none() {
            self.sorted = false;
            self.places.clear();
            self.places.extend(self.rows.iter().enumerate().map(|(at, row)| (row.key, at)));
        }
        found
    }
}

impl Fold {
    /// One row for each message, in the order of the first response to it.
    pub(super) fn rows<'a>(&mut self, fresh: &mut [Fresh<'a>], known: &Known) -> Vec<Row<'a>> {
        let rows = Vec::with_capacity(fresh.len());
        let mut folded = Rows { rows, sorted: true, places: &mut self.places };
        let mut last: Option<(Stream, i64)> = None;
        for fresh in fresh {
            fresh.responder_id = known.responder_id(fresh.slot);
            let Response { subject, result, received_ns, .. } = fresh.response;
            let stream = Stream::from(subject);
            let stream_id = match last {
                Some((same, id)) if same == stream => id,
                _ => known.stream_id(stream),
            };
            last = Some((stream, stream_id));
            let key = Key { stream_id, seq: subject.seq, part: subject.part };
            if let Some(at) = folded.find(key) {
                fresh.row = at;
                let row = &mut folded.rows[at];
                row.responses += 1;
                row.divergent += i64::from(row.result != result);
                continue;
            }
            fresh.row = folded.rows.len();
            if !folded.sorted {
                folded.places.insert(key, fresh.row);
            }
            folded.rows.push(Row {
                key,
                result,
                responder_id: fresh.responder_id,
                recorded_ns: received_ns,
                responses: 1,
                divergent: 0,
            });
        }
        folded.rows
    }
}

/// The responses that differ from the first result of their message, and what the rows with another first
/// result than theirs have to have added.
pub(super) fn divergences<'a>(
    fresh: &[Fresh<'a>],
    rows: &[Row<'_>],
    mismatches: &[Mismatch],
) -> (Vec<Said<'a>>, Vec<Amendment>) {
    if mismatches.is_empty() && rows.iter().all(|row| row.divergent == 0) {
        return (Vec::new(), Vec::new());
    }
    let mut amended: HashMap<usize, (&[u8], i64)> =
        mismatches.iter().map(|mismatch| (mismatch.row, (&mismatch.first[..], 0))).collect();
    let mut divergences = Vec::new();
    for fresh in fresh {
        let differs = match amended.get_mut(&fresh.row) {
            Some((first, divergent)) => {
                let differs = fresh.response.result != *first;
                *divergent += i64::from(differs);
                differs
            }
            None => fresh.response.result != rows[fresh.row].result,
        };
        if differs {
            divergences.push(fresh.said(rows));
        }
    }
    let amendments = mismatches
        .iter()
        .map(|mismatch| {
            let divergent = amended.get(&mismatch.row).map_or(0, |(_, divergent)| *divergent);
            Amendment { key: rows[mismatch.row].key, divergent }
        })
        .collect();
    (divergences, amendments)
}
