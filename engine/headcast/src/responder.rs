//! The answering end: a result for a message, kept and sent again until the recorder has stored it.
//!
//! ```text
//!   respond()  any thread     builds the datagram, counts it as held, rings
//!      |  queue
//!      v
//!   the responder's thread    numbers it, sends it, sends it again, reads acknowledgements
//!      ^
//!      |  addresses
//!   a thread beside           asks who the recorders are
//! ```
//!
//! A thread of its own, so that responses get through however long the application takes over the next
//! message. What is accepted is held until it is acknowledged: there is no time after which it is given up, only
//! a bound on how much may be held, and beyond it new ones are refused.

mod builder;
mod recorders;
mod sending;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use headcast_peers::Stop;
use headcast_proto::StreamId;
use headcast_proto::response::{self, RESPONSE_ROOM, Subject};

pub use builder::Builder;

use crate::bell::Bell;
use crate::clock::{self, nanos};
use crate::counters::ResponderCounters;
use crate::error::RespondError;
use crate::subscriber::Origin;
use recorders::Recorders;

/// How often [`Responder::close`] looks whether all is acknowledged.
const CLOSE_LOOK: Duration = Duration::from_millis(1);

/// Answers messages. Clones share everything; when the last one is gone, so is what was not acknowledged:
/// [`close`](Self::close) it first.
#[derive(Clone)]
pub struct Responder(Arc<Owner>);

/// Stops the threads when nobody can answer any more.
struct Owner {
    shared: Arc<Shared>,
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share.
struct Shared {
    /// Accepted, and not numbered yet.
    queue: ArrayQueue<Accepted>,
    /// Accepted, and not acknowledged.
    held: AtomicUsize,
    held_bytes: AtomicUsize,
    bytes_max: usize,
    result_max: usize,
    bell: Bell,
    /// Nothing is accepted any more.
    closed: AtomicBool,
    /// The thread is to end.
    stopped: AtomicBool,
    /// The lowest sequence that is not acknowledged.
    held_from: AtomicU64,
    recorders: Recorders,
    counters: Arc<ResponderCounters>,
    id: u32,
}

/// A response that waits for its number.
struct Accepted {
    subject: Subject,
    /// The result, behind room for everything in front of it.
    datagram: Box<[u8]>,
}

impl Responder {
    /// Starts from the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Answers a message: `result` is copied and kept until a recorder has stored it. Never waits.
    ///
    /// A message may be answered more than once; the recorder counts further results and keeps the first.
    ///
    /// # Errors
    /// [`RespondError::Full`] when as much is held as may be, [`RespondError::TooLong`],
    /// [`RespondError::Unstorable`], [`RespondError::Closed`]. Nothing is kept then.
    pub fn respond(&self, to: &Origin, result: &[u8]) -> Result<(), RespondError> {
        let id = StreamId { publisher: to.publisher, session: to.session, stream: to.stream };
        self.respond_to(id, to.seq, to.part, result)
    }

    /// As [`respond`](Self::respond), to the message that is known by its stream, its sequence there, and which
    /// message of its datagram it is: as [`Origin`] has them, 0 for one that came alone.
    ///
    /// # Errors
    /// As `respond`.
    pub fn respond_to(&self, id: StreamId, seq: u64, part: u16, result: &[u8]) -> Result<(), RespondError> {
        let shared = &self.0.shared;
        if shared.closed.load(SeqCst) {
            return Err(RespondError::Closed);
        }
        if !response::is_storable(id, seq) {
            shared.counters.refused_unstorable.add_shared(1);
            return Err(RespondError::Unstorable);
        }
        if result.len() > shared.result_max {
            shared.counters.refused_too_long.add_shared(1);
            return Err(RespondError::TooLong { len: result.len(), max: shared.result_max });
        }
        let mut datagram = vec![0; RESPONSE_ROOM + result.len()];
        datagram[RESPONSE_ROOM..].copy_from_slice(result);
        if !shared.hold(datagram.len()) {
            shared.counters.refused_full.add_shared(1);
            return Err(RespondError::Full);
        }
        // Whoever closes looks at what is held after it has closed: one of the two sees the other.
        if shared.closed.load(SeqCst) {
            shared.release(1, datagram.len());
            return Err(RespondError::Closed);
        }
        let mut accepted = Accepted { subject: Subject { id, seq, part }, datagram: datagram.into() };
        shared.counters.accepted.add_shared(1);
        // As many places as may be held: a push fails only while a pop beside it is under way.
        while let Err(back) = shared.queue.push(accepted) {
            accepted = back;
            std::hint::spin_loop();
        }
        // The eventfd behind it exists as long as the thread: it cannot fail in a way that matters, and at the
        // latest the next time-out looks as well.
        let _ = shared.bell.ring();
        Ok(())
    }

    /// How many responses are not acknowledged yet.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.0.shared.held.load(SeqCst)
    }

    /// Every response with a sequence below this one is stored. Sequences count from 1 in the order in which responses
    /// were accepted.
    #[must_use]
    pub fn acknowledged_below(&self) -> u64 {
        self.0.shared.held_from.load(SeqCst)
    }

    /// Accepts nothing more, and waits until everything is acknowledged, at most for `drain`. Returns how many
    /// responses are left.
    pub fn close(&self, drain: Duration) -> usize {
        self.0.shared.closed.store(true, SeqCst);
        let deadline_ns = clock::mono_ns().saturating_add(nanos(drain));
        loop {
            let left = self.unacknowledged();
            if left == 0 || clock::mono_ns() >= deadline_ns {
                return left;
            }
            std::thread::sleep(CLOSE_LOOK);
        }
    }

    /// The number that the recorder knows this responder by.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.shared.id
    }

    /// The longest result in bytes.
    #[must_use]
    pub fn result_max(&self) -> usize {
        self.0.shared.result_max
    }

    /// What happened so far; may be read from any thread.
    #[must_use]
    pub fn counters(&self) -> &Arc<ResponderCounters> {
        &self.0.shared.counters
    }
}

impl Shared {
    /// Takes room for a response of so many bytes, if there is.
    fn hold(&self, bytes: usize) -> bool {
        let responses_max = self.queue.capacity();
        let one_more = |held: usize| (held < responses_max).then_some(held + 1);
        if self.held.fetch_update(SeqCst, SeqCst, one_more).is_err() {
            return false;
        }
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.bytes_max);
        let fits = self.held_bytes.fetch_update(SeqCst, SeqCst, more).is_ok();
        if !fits {
            self.held.fetch_sub(1, SeqCst);
        }
        fits
    }

    fn release(&self, responses: usize, bytes: usize) {
        self.held_bytes.fetch_sub(bytes, SeqCst);
        self.held.fetch_sub(responses, SeqCst);
    }

    /// Ends the thread.
    fn stop(&self) {
        self.closed.store(true, SeqCst);
        self.stopped.store(true, SeqCst);
        // As with every ring: the eventfd exists.
        let _ = self.bell.wake();
    }

    /// Notes what a failed socket means: nothing more gets out.
    fn fail(&self, error: &io::Error) {
        self.closed.store(true, SeqCst);
        tracing::error!(held = self.held.load(Relaxed), "responses cannot be sent any more: {error}");
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.stop();
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A panic over there has been printed; there is nothing left to do about it here.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Responder");
        debug.field("id", &self.id()).field("unacknowledged", &self.unacknowledged()).finish_non_exhaustive()
    }
}
