//! Counts of everything that can happen.
//!
//! Each counter has one writer, the data thread, which adds by a plain load and store; any thread
//! reads it whenever it likes, without slowing the writer down.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use headcast_proto::Refusal;

/// A count with one writer and any number of readers.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The count, as of some recent moment.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Adds, from the one thread that writes: no locked instruction.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.set(self.0.load(Relaxed).wrapping_add(n));
    }

    #[inline]
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
}

macro_rules! counters {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $field:ident,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: Counter,)+
        }

        impl $name {
            /// Every counter with its name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field.get()),)+].into_iter()
            }
        }
    };
}

counters! {
    /// What a publisher did.
    ///
    /// Once everything is out: `offered == sent_first + sent_later + rejected + transient + quarantined`
    /// and `messages == passes_first + dropped_oldest`.
    PublisherCounters {
        /// Messages accepted.
        messages,
        /// Payload bytes of those.
        message_bytes,
        /// First copies handed to the kernel for all peers.
        passes_first,
        /// Later copies handed to the kernel for all peers.
        passes_later,
        /// Datagrams that the passes were to send: the sizes of the peer sets, summed up.
        offered,
        /// Datagrams of first copies that the kernel took.
        sent_first,
        /// Datagrams of later copies that the kernel took.
        sent_later,
        /// Datagrams that the kernel refused to send to their peer.
        rejected,
        /// Datagrams lost to a shortage inside the kernel (ENOBUFS, ENOMEM).
        transient,
        /// Datagrams not tried because their peer was in quarantine.
        quarantined,
        /// System calls made to send.
        calls,
        /// Times that the kernel had no room in a socket's buffer for the rest of a pass.
        blocked,
        /// Messages that went to nobody because there was no peer.
        unheard,
        /// Messages refused because the backlog was full.
        dropped_newest,
        /// Accepted messages given up to make room.
        dropped_oldest,
        /// Later copies given up to make room.
        copies_shed,
        /// Peer sets taken over.
        peer_sets,
        /// Datagrams received on the sockets that send.
        strays,
        /// Local datagrams refused because they were longer than a message may be.
        oversized,
        /// Local datagrams that the listening socket dropped because its buffer was full. The kernel
        /// tells with the next one that gets through, and counts in 32 bits.
        ingress_dropped,
    }
}

counters! {
    /// What a subscriber saw.
    ///
    /// At any time `datagrams == delivered + duplicates + notes + truncated + impaired` plus the sum
    /// of the refusals.
    SubscriberCounters {
        /// Datagrams received.
        datagrams,
        /// Bytes of those.
        bytes,
        /// Messages handed on.
        delivered,
        /// Those among them that a later copy brought.
        rescued,
        /// Datagrams that had been seen before.
        duplicates,
        /// Datagrams that tell of the publisher only: heartbeats and ends.
        notes,
        /// Sessions that were heard for the first time.
        sessions,
        /// Publishers that said that they stop.
        ended,
        /// Messages that never came, and cannot any more.
        lost,
        /// Datagrams longer than the receive buffer.
        truncated,
        /// Datagrams dropped on purpose.
        impaired,
        /// Datagrams that the socket dropped because its buffer was full. The kernel tells with the next
        /// one that gets through, and counts in 32 bits.
        socket_dropped,
    }
}

/// One counter for each reason to refuse a datagram.
#[derive(Debug, Default)]
pub struct Refusals([Counter; Refusal::ALL.len()]);

impl Refusals {
    /// How often this was the reason.
    #[must_use]
    pub fn get(&self, refusal: Refusal) -> u64 {
        self.0[refusal as usize].get()
    }

    /// Every reason with its count.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.iter().map(|refusal| (refusal.name(), self.get(*refusal)))
    }

    /// Datagrams refused, for whatever reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(Counter::get).sum()
    }

    #[inline]
    pub(crate) fn count(&self, refusal: Refusal) {
        self.0[refusal as usize].add(1);
    }
}
