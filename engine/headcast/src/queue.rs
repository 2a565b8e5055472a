//! How other threads publish: a bounded queue of buffers, and a bell that is rung only when the data
//! thread sleeps.
//!
//! ```text
//!   free  -> publish() fills a buffer ->  full  -> data thread puts it into the ring
//!     ^                                                        |
//!     +--------- and gives back the buffer that was there -----+
//! ```
//!
//! All buffers are made at start, and as many as the queue is long: for a message that fits into one,
//! neither end ever allocates. The payload is copied once, by the thread that publishes; into the ring it
//! goes by its pointer. What of a long message does not fit travels beside, see [`long`].

mod long;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::Backoff;

use crate::bell::Bell;
use crate::error::PublishError;
use crate::publisher::{Backlog, Sizes};
use crate::ring::Slot;
use long::Long;

/// How long a blocked publisher sleeps between two looks at the queue.
const BLOCKED_SLEEP: Duration = Duration::from_micros(50);

/// Publishes from any thread. Clones share the queue.
#[derive(Clone)]
pub struct Handle(Arc<Queue>);

/// A message that waits.
pub(crate) struct Entry {
    /// The message, or its beginning: as much as fits into a datagram.
    pub(crate) slot: Slot,
    /// What follows; empty for most.
    pub(crate) rest: Box<[u8]>,
}

/// Shared by the handles and the data thread.
pub(crate) struct Queue {
    free: ArrayQueue<Slot>,
    full: ArrayQueue<Entry>,
    long: Long,
    sizes: Sizes,
    backlog: Backlog,
    bell: Bell,
    closed: AtomicBool,
    /// Threads inside `publish`.
    publishing: AtomicUsize,
    dropped_newest: AtomicU64,
    dropped_oldest: AtomicU64,
}

impl Queue {
    pub(crate) fn new(len: usize, sizes: Sizes, backlog: Backlog, waker: mio::Waker) -> Arc<Self> {
        let free = ArrayQueue::new(len);
        while free.push(Slot::new(sizes.payload_max)).is_ok() {}
        Arc::new(Self {
            free,
            full: ArrayQueue::new(len),
            long: Long::new(len),
            sizes,
            backlog,
            bell: Bell::new(waker),
            closed: AtomicBool::new(false),
            publishing: AtomicUsize::new(0),
            dropped_newest: AtomicU64::new(0),
            dropped_oldest: AtomicU64::new(0),
        })
    }

    /// The oldest message that waits.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Entry> {
        self.full.pop()
    }

    /// Gives a buffer back.
    #[inline]
    pub(crate) fn recycle(&self, slot: Slot) {
        // There are as many buffers as places, so it fits; a push that failed would free it here.
        let fits = self.free.push(slot);
        debug_assert!(fits.is_ok());
    }

    /// Gives back what followed a buffer, once it has been cut.
    pub(crate) fn spend(&self, rest: Box<[u8]>) {
        self.long.spend(rest);
    }

    /// Says that the data thread is about to wait; returns whether it may: nothing has come meanwhile.
    #[inline]
    pub(crate) fn may_sleep(&self) -> bool {
        // Ordered against `publish`, which pushes, then rings.
        self.bell.lie_down();
        self.full.is_empty()
    }

    /// Says that the data thread is awake.
    #[inline]
    pub(crate) fn awake(&self) {
        self.bell.awake();
    }

    /// Refuses whatever comes from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Whether nothing is accepted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Whether nothing waits and nobody is about to add anything.
    pub(crate) fn is_drained(&self) -> bool {
        self.publishing.load(SeqCst) == 0 && self.full.is_empty()
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.full.len()
    }

    /// Messages dropped by handles: the newest, the oldest.
    pub(crate) fn dropped(&self) -> (u64, u64) {
        (self.dropped_newest.load(Relaxed), self.dropped_oldest.load(Relaxed))
    }

    /// Wakes the data thread for another reason than a message.
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.bell.wake()
    }

    fn publish(&self, payload: &[u8]) -> Result<(), PublishError> {
        self.sizes.check(payload.len())?;
        self.long.reclaim();
        let (head, rest) = payload.split_at(payload.len().min(self.sizes.payload_max));
        let rest = if rest.is_empty() { Box::default() } else { self.by_policy(|| self.long.take(rest))? };
        let mut slot = match self.by_policy(|| self.free.pop()) {
            Ok(slot) => slot,
            Err(error) => {
                self.long.free(rest);
                return Err(error);
            }
        };
        slot.payload_mut(head.len()).copy_from_slice(head);
        let mut entry = Entry { slot, rest };
        // As many places as buffers: a push fails only while a pop beside it is under way.
        while let Err(back) = self.full.push(entry) {
            entry = back;
            std::hint::spin_loop();
        }
        self.bell.ring()?;
        Ok(())
    }

    /// What `take` has to give, by the policy when that is nothing.
    fn by_policy<T>(&self, take: impl Fn() -> Option<T>) -> Result<T, PublishError> {
        let backoff = Backoff::new();
        loop {
            if self.is_closed() {
                return Err(PublishError::Closed);
            }
            if let Some(taken) = take() {
                return Ok(taken);
            }
            match self.backlog {
                Backlog::Block => std::thread::sleep(BLOCKED_SLEEP),
                Backlog::DropNewest => {
                    self.dropped_newest.fetch_add(1, Relaxed);
                    return Err(PublishError::Full);
                }
                Backlog::DropOldest => match self.full.pop() {
                    Some(oldest) => {
                        self.dropped_oldest.fetch_add(1, Relaxed);
                        self.long.free(oldest.rest);
                        self.recycle(oldest.slot);
                    }
                    // All buffers are in the hands of other threads.
                    None => backoff.snooze(),
                },
            }
            // What this waits for may be what nobody else has freed yet.
            self.long.reclaim();
        }
    }
}

impl Handle {
    pub(crate) fn new(queue: &Arc<Queue>) -> Self {
        Self(Arc::clone(queue))
    }

    /// Hands a message to the data thread. It has been accepted when this returns `Ok`: it goes out
    /// even if the publisher is closed right after, but not if it is dropped without being closed.
    ///
    /// Messages of one thread go out in their order, long ones that take several datagrams among them.
    ///
    /// # Errors
    /// [`PublishError::TooLong`] and [`PublishError::RingTooShort`]; [`PublishError::Full`] when the queue
    /// is full, or long messages in it take [`QUEUE_BYTES_MAX`](crate::limits::QUEUE_BYTES_MAX), and the
    /// policy is to drop what comes last (to block, it waits here); [`PublishError::Closed`].
    pub fn publish(&self, payload: &[u8]) -> Result<(), PublishError> {
        self.0.publishing.fetch_add(1, SeqCst);
        let result = self.0.publish(payload);
        self.0.publishing.fetch_sub(1, SeqCst);
        result
    }

    /// Asks [`Publisher::run`](crate::Publisher::run) to return.
    pub fn stop(&self) {
        self.0.close();
        // The eventfd behind it exists as long as the queue: it cannot fail in a way that matters.
        let _ = self.0.wake();
    }

    /// Whether the publisher has closed or was asked to stop.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
