//! Room for datagrams that cannot be handed on yet: fragments, and what waits for its turn.
//!
//! One allocation, cut into blocks. A datagram takes a chain of them, and its place in the list of its
//! stream; both are indices, so nothing is allocated after the start.

use super::StreamId;
use crate::Session;

/// Bytes of a block: one datagram of the default size.
pub(super) const BLOCK: usize = 1408;
/// No block, no item.
pub(super) const NONE: u32 = u32::MAX;

/// What is kept of a datagram, besides its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) id: StreamId,
    pub(super) seq: u64,
    pub(super) timestamp: u64,
    /// Which part of how many.
    pub(super) index: u16,
    pub(super) count: u16,
    pub(super) rescued: bool,
    /// Several messages, each behind its length.
    pub(super) coalesced: bool,
    pub(super) len: u32,
    /// Its neighbours in the list.
    before: u32,
    after: u32,
}

impl Item {
    /// Of no datagram.
    pub(super) const NONE: Self = {
        let id = StreamId { publisher: 0, stream: 0, session: Session::from_bits(0) };
        Self::new(id, 0, 0, false, (0, 1))
    };

    pub(super) const fn new(
        id: StreamId,
        seq: u64,
        timestamp: u64,
        rescued: bool,
        (index, count): (u16, u16),
    ) -> Self {
        Self {
            id,
            seq,
            timestamp,
            index,
            count,
            rescued,
            coalesced: false,
            len: 0,
            before: NONE,
            after: NONE,
        }
    }

    /// The sequences of the message that it is part of, the first and the last.
    pub(super) fn message(&self) -> (u64, u64) {
        let first = self.seq - u64::from(self.index);
        // The count is at least 1, and the last sequence exists.
        (first, first + u64::from(self.count - 1))
    }
}

/// Items in the order of their sequences.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: u32,
    tail: u32,
    /// How many blocks its items take.
    pub(super) blocks: usize,
}

impl List {
    pub(super) const EMPTY: Self = Self { head: NONE, tail: NONE, blocks: 0 };

    pub(super) fn is_empty(&self) -> bool {
        self.head == NONE
    }
}

#[derive(Debug)]
pub(super) struct Store {
    bytes: Box<[u8]>,
    /// The item that begins in a block.
    items: Box<[Item]>,
    /// The block after each, in a chain or among the free ones.
    next: Box<[u32]>,
    free: u32,
    pub(super) used: usize,
}

impl Store {
    pub(super) fn new(bytes: usize) -> Self {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(NONE - 1).min(NONE - 1);
        let next = (1..=blocks).map(|next| if next == blocks { NONE } else { next });
        Self {
            // Untouched pages cost nothing.
            bytes: vec![0; blocks as usize * BLOCK].into(),
            items: vec![Item::NONE; blocks as usize].into(),
            next: next.collect(),
            free: if blocks == 0 { NONE } else { 0 },
            used: 0,
        }
    }

    /// Bytes of all blocks.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// How many blocks a payload takes.
    pub(super) fn blocks(len: usize) -> usize {
        len.div_ceil(BLOCK).max(1)
    }

    pub(super) fn has_room(&self, len: usize) -> bool {
        self.next.len() - self.used >= Self::blocks(len)
    }

    pub(super) fn item(&self, at: u32) -> &Item {
        &self.items[at as usize]
    }

    /// The item after this one in its list.
    pub(super) fn after(&self, at: u32) -> u32 {
        self.items[at as usize].after
    }

    /// Keeps a payload, in its place in the list. There must be room.
    pub(super) fn put(&mut self, list: &mut List, mut item: Item, payload: &[u8]) {
        debug_assert!(self.has_room(payload.len()));
        let at = self.free;
        let mut last = NONE;
        // An empty payload takes a block as well.
        let chunks = payload.chunks(BLOCK).chain(payload.is_empty().then_some(&[][..]));
        for chunk in chunks {
            let block = self.free;
            self.free = self.next[block as usize];
            self.next[block as usize] = NONE;
            if last != NONE {
                self.next[last as usize] = block;
            }
            last = block;
            let from = block as usize * BLOCK;
            self.bytes[from..from + chunk.len()].copy_from_slice(chunk);
        }
        let blocks = Self::blocks(payload.len());
        self.used += blocks;
        list.blocks += blocks;
        item.len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.items[at as usize] = item;
        self.link(list, at);
    }

    /// Puts an item where it belongs; mostly that is the end, or near the head.
    fn link(&mut self, list: &mut List, at: u32) {
        let seq = self.item(at).seq;
        let (mut before, mut after) = (list.tail, NONE);
        if !list.is_empty() && seq < self.item(list.tail).seq {
            let (head, tail) = (self.item(list.head).seq, self.item(list.tail).seq);
            if seq.abs_diff(head) < seq.abs_diff(tail) {
                after = list.head;
                while self.item(after).seq < seq {
                    after = self.after(after);
                }
                before = self.item(after).before;
            } else {
                while before != NONE && self.item(before).seq > seq {
                    after = before;
                    before = self.item(before).before;
                }
            }
        }
        let item = &mut self.items[at as usize];
        (item.before, item.after) = (before, after);
        match before {
            NONE => list.head = at,
            before => self.items[before as usize].after = at,
        }
        match after {
            NONE => list.tail = at,
            after => self.items[after as usize].before = at,
        }
    }

    /// Copies the payload of an item to the front of `out`, frees the item, and returns how long it was.
    /// It must fit.
    pub(super) fn take(&mut self, list: &mut List, at: u32, out: &mut [u8]) -> usize {
        let len = self.item(at).len as usize;
        let mut block = at;
        for chunk in out[..len].chunks_mut(BLOCK) {
            let from = block as usize * BLOCK;
            chunk.copy_from_slice(&self.bytes[from..from + chunk.len()]);
            block = self.next[block as usize];
        }
        self.remove(list, at);
        len
    }

    /// Frees an item.
    pub(super) fn remove(&mut self, list: &mut List, at: u32) {
        let Item { before, after, len, .. } = *self.item(at);
        match before {
            NONE => list.head = after,
            before => self.items[before as usize].after = after,
        }
        match after {
            NONE => list.tail = before,
            after => self.items[after as usize].before = before,
        }
        let mut last = at;
        while self.next[last as usize] != NONE {
            last = self.next[last as usize];
        }
        self.next[last as usize] = self.free;
        self.free = at;
        let blocks = Self::blocks(len as usize);
        self.used -= blocks;
        list.blocks -= blocks;
    }

    /// Moves all of one list behind all of another.
    pub(super) fn append(&mut self, to: &mut List, from: &mut List) {
        let moved = std::mem::replace(from, List::EMPTY);
        if moved.is_empty() {
            return;
        }
        if to.is_empty() {
            *to = moved;
            return;
        }
        self.items[to.tail as usize].after = moved.head;
        self.items[moved.head as usize].before = to.tail;
        to.tail = moved.tail;
        to.blocks += moved.blocks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(seq: u64) -> Item {
        let id = StreamId { publisher: 1, stream: 0, session: Session::from_bits(1) };
        Item::new(id, seq, 0, false, (0, 1))
    }

    fn sequences(store: &Store, list: &List) -> Vec<u64> {
        let mut at = list.head;
        let mut found = Vec::new();
        while at != NONE {
            found.push(store.item(at).seq);
            at = store.after(at);
        }
        found
    }

    #[test]
    fn items_come_back_in_order_and_whole() {
        let mut store = Store::new(40 * BLOCK);
        let mut list = List::EMPTY;
        let payload = |seq: u64| -> Vec<u8> { (0..seq * 700).map(|i| (i ^ seq).to_le_bytes()[0]).collect() };
        for seq in [5, 9, 1, 7, 8, 2, 0, 6] {
            store.put(&mut list, item(seq), &payload(seq));
        }
        assert_eq!(sequences(&store, &list), [0, 1, 2, 5, 6, 7, 8, 9]);
        let mut out = vec![0; 10_000];
        for seq in [7, 0, 9, 1, 2, 5, 6, 8] {
            let mut at = list.head;
            while store.item(at).seq != seq {
                at = store.after(at);
            }
            let len = store.take(&mut list, at, &mut out);
            assert_eq!(out[..len], payload(seq));
        }
        assert_eq!((store.used, list.blocks, list.is_empty()), (0, 0, true));
    }

    #[test]
    fn every_block_is_found_again() {
        let mut store = Store::new(10 * BLOCK);
        let mut list = List::EMPTY;
        for round in 0..100 {
            for seq in 0..5 {
                assert!(store.has_room(2 * BLOCK));
                store.put(&mut list, item(seq ^ round), &[0; 2 * BLOCK]);
            }
            assert!(!store.has_room(0));
            while !list.is_empty() {
                let head = list.head;
                store.remove(&mut list, head);
            }
        }
        assert_eq!(store.used, 0);
    }

    #[test]
    fn a_list_moves_behind_another() {
        let mut store = Store::new(10 * BLOCK);
        let (mut to, mut from) = (List::EMPTY, List::EMPTY);
        store.append(&mut to, &mut from);
        store.put(&mut from, item(3), b"");
        store.append(&mut to, &mut from);
        store.put(&mut from, item(1), b"");
        store.append(&mut to, &mut from);
        assert_eq!((sequences(&store, &to), from.is_empty(), to.blocks), (vec![3, 1], true, 2));
    }
}
