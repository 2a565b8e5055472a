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
    pub fn add(&self, n: u64) {
        self.set(self.0.load(Relaxed).wrapping_add(n));
    }

    /// Adds, from any thread.
    pub fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Sets it, from the one thread that writes.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
}

/// Makes a struct of [`Counter`]s from their names, with `each`, which tells every name and count.
#[macro_export]
macro_rules! counters {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $field:ident,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $crate::counters::Counter,)+
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
    /// Once everything is out:
    ///
    /// - `offered == sent_first + sent_later + sent_heartbeats + rejected + transient + quarantined`;
    /// - `messages + fragments == packed + passes_first + dropped_oldest`: each is a datagram, or shares one;
    /// - `asked == repairs_sent + repairs_failed + repairs_gone + repairs_repeated + repairs_over_budget +
    ///   repairs_excess + repairs_full + repairs_forgotten`.
    PublisherCounters {
        /// Messages accepted.
        messages,
        /// Payload bytes of those.
        message_bytes,
        /// Datagrams that messages took beyond one each: what does not fit into one is cut.
        fragments,
        /// Messages that share the datagram of one before them.
        packed,
        /// Datagrams whose first copy was handed to the kernel for all peers.
        passes_first,
        /// Later copies handed to the kernel for all peers.
        passes_later,
        /// Heartbeats and farewells handed to the kernel for all peers.
        heartbeats,
        /// Datagrams that the passes were to send: the sizes of the peer sets, summed up.
        offered,
        /// Datagrams of first copies that the kernel took.
        sent_first,
        /// Datagrams of later copies that the kernel took.
        sent_later,
        /// Datagrams of heartbeats and farewells that the kernel took.
        sent_heartbeats,
        /// Those of all three that went as frames, by AF_XDP.
        sent_xdp,
        /// Datagrams that the kernel refused to send to their peer.
        rejected,
        /// Datagrams lost to a shortage inside the kernel (ENOBUFS, ENOMEM), and frames that the driver dropped.
        transient,
        /// Datagrams not tried because their peer was in quarantine.
        quarantined,
        /// System calls made to send.
        calls,
        /// Sends of several datagrams to a peer at once (UDP GSO) that the kernel took.
        trains,
        /// Datagrams in those; each is counted as a first or a later copy as well.
        train_datagrams,
        /// Peers to whom the kernel refused to send several datagrams at once: they are sent them one by one.
        gso_refused,
        /// Times that the kernel had no room in a socket's buffer for the rest of a pass, or for a repair.
        blocked,
        /// First copies that went to nobody because there was no peer.
        unheard,
        /// Messages refused because the backlog was full.
        dropped_newest,
        /// Accepted datagrams given up to make room, before they had gone out once.
        dropped_oldest,
        /// Later copies given up to make room.
        copies_shed,
        /// Peer sets taken over.
        peer_sets,
        /// Requests for repairs, of this session and from a peer.
        naks,
        /// Requests that name another publisher, session or stream.
        naks_foreign,
        /// Requests from somebody who is not a peer.
        naks_stranger,
        /// Requests that the kernel dropped because a buffer was full. It tells with the next one that gets
        /// through, and counts in 32 bits.
        naks_dropped,
        /// Datagrams that requests asked for.
        asked,
        /// Those among them that were sent again.
        repairs_sent,
        /// Those among them that the kernel did not take.
        repairs_failed,
        /// Those among them that are not stored any more, or not sent yet.
        repairs_gone,
        /// Those among them that were sent to the same peer a moment ago, or wait to be.
        repairs_repeated,
        /// Those among them that were beyond the peer's share.
        repairs_over_budget,
        /// Those among them that were more than one request is answered with.
        repairs_excess,
        /// Those among them for which too many others waited.
        repairs_full,
        /// Those among them that waited when the peers changed: whoever still needs them asks again.
        repairs_forgotten,
        /// Datagrams received on the sockets that send and that are no request for repairs.
        strays,
        /// Datagrams received there that are no valid datagram at all. Where no requests are expected
        /// everything counts as stray.
        malformed,
        /// Local datagrams refused because they were longer than a message may be.
        oversized,
        /// Local datagrams that the listening socket dropped because its buffer was full; several that were sent
        /// as one count once. The kernel tells with the next one that gets through, and counts in 32 bits.
        ingress_dropped,
    }
}

counters! {
    /// What a subscriber saw.
    ///
    /// Whenever all that was received has been taken, `datagrams + released + unpacked == delivered + kept + duplicates +
    /// notes + truncated + impaired` plus the sum of the refusals; and every sequence from the first one awaited on is
    /// delivered, kept or missing, or counted once in `lost`.
    SubscriberCounters {
        /// Buffers that the kernel has filled: each with a datagram, or with several that followed one another (GRO).
        receives,
        /// Datagrams received.
        datagrams,
        /// Bytes of those.
        bytes,
        /// Messages handed on. Those that share a datagram are counted when the first of them is.
        delivered,
        /// Those among them that a later copy or a repair brought: with it all that share a datagram.
        rescued,
        /// Those among them beyond one each that shared a datagram.
        unpacked,
        /// Datagrams kept, as fragments or to be in order.
        kept,
        /// Times that something was handed on from what was kept: a message put together, or a datagram that waited for
        /// its turn, whatever the number of its messages.
        released,
        /// Datagrams that had been seen before.
        duplicates,
        /// Datagrams that tell of the publisher only: heartbeats and ends.
        notes,
        /// Sessions that were heard for the first time.
        sessions,
        /// Publishers that said that they stop.
        ended,
        /// Publishers that were not heard for three heartbeats, and had not said that they stop.
        silent,
        /// Gaps that were told.
        gaps,
        /// Sequences in them: datagrams that never came, or too late.
        lost,
        /// Requests for repairs.
        requests,
        /// Sequences asked for in them.
        requested,
        /// Requests that could not be sent.
        requests_failed,
        /// Datagrams that came because they were asked for, and were new.
        repaired,
        /// Messages put together from fragments.
        completed,
        /// Fragments kept in vain, for another one of their message was lost.
        dropped_parts,
        /// Datagrams longer than the receive buffer.
        truncated,
        /// Datagrams dropped on purpose.
        impaired,
        /// Datagrams that the socket dropped because its buffer was full; several that come in one piece count
        /// once. The kernel tells with the next one that gets through, and counts in 32 bits.
        socket_dropped,
    }
}

impl SubscriberCounters {
    /// Counts the messages that share a datagram which is handed on.
    pub(crate) fn count_shared(&self, messages: u64, rescued: bool) {
        self.delivered.add(messages);
        self.unpacked.add(messages.saturating_sub(1));
        self.rescued.add(if rescued { messages } else { 0 });
    }
}

counters! {
    /// What a responder did.
    ///
    /// At any time `accepted - acknowledged` responses are held.
    ResponderCounters {
        /// Responses accepted: each is held until it is acknowledged.
        accepted,
        /// Responses refused because as much was held as may be.
        refused_full,
        /// Responses refused because their result was too long.
        refused_too_long,
        /// Responses refused because their message has a number of 2^63 or more, which no recorder stores.
        refused_unstorable,
        /// Datagrams sent for the first time.
        sent_first,
        /// Datagrams sent again.
        sent_again,
        /// Datagrams that the kernel refused to send; they count as lost on the way.
        send_failed,
        /// Responses acknowledged: a recorder has stored them.
        acknowledged,
        /// Acknowledgements taken.
        acknowledgements,
        /// Times that nothing was acknowledged for the retransmission time-out.
        timeouts,
        /// Datagrams that were no acknowledgement for this responder, or not from a recorder.
        strays,
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

    /// Counts one, from the one thread that writes.
    #[inline]
    pub fn count(&self, refusal: Refusal) {
        self.0[refusal as usize].add(1);
    }
}
