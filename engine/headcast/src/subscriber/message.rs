//! What is handed on.

use std::net::SocketAddr;

use headcast_proto::header::Header;
use headcast_proto::{Datagram, Session};

use super::Mailbox;
use super::parts::Parts;
use crate::error::RespondError;

/// A message, borrowed from the receive buffer.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Message<'a> {
    /// What was published.
    pub payload: &'a [u8],
    /// What the header says of it; `None` in raw mode.
    pub origin: Option<Origin>,
    mailbox: &'a Mailbox,
    source: Source,
}

/// Where a message stands in what its publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The publisher's number.
    pub publisher: u32,
    /// Which run of it.
    pub session: Session,
    /// Which of its streams.
    pub stream: u16,
    /// The sequence within session and stream; of a message in several datagrams, that of the first.
    pub seq: u64,
    /// Which message of its datagram it is, from 0: queued messages may have shared one.
    pub part: u16,
    /// When it was published, by the publisher's clock, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// The first copy did not get here before this one.
    pub rescued: bool,
}

/// What the kernel said, read only if somebody asks.
#[derive(Clone, Copy)]
enum Source {
    /// With the datagram at hand.
    Inbox,
    Known(Option<SocketAddr>),
}

impl<'a> Message<'a> {
    /// The datagram at hand, without a header.
    pub(super) fn raw(mailbox: &'a Mailbox) -> Self {
        Self { payload: mailbox.inbox.segment(), origin: None, mailbox, source: Source::Inbox }
    }

    /// The datagram at hand, which has been judged to be a whole message.
    #[inline]
    pub(super) fn whole(mailbox: &'a Mailbox) -> Self {
        let Some((header, payload)) = Datagram::reread(mailbox.inbox.segment()) else {
            return Self::raw(mailbox);
        };
        Self { payload, origin: Some(Origin::of(header)), mailbox, source: Source::Inbox }
    }

    /// A message of the datagram at hand, which has several.
    #[inline]
    pub(super) fn part(mailbox: &'a Mailbox, parts: &Parts) -> Self {
        let payload = mailbox.inbox.segment().get(parts.from..parts.to).unwrap_or_default();
        Self { payload, origin: Some(parts.origin), mailbox, source: Source::Inbox }
    }

    /// A message that was put together, or waited for its turn.
    pub(super) fn kept(
        mailbox: &'a Mailbox,
        payload: &'a [u8],
        origin: Origin,
        source: Option<SocketAddr>,
    ) -> Self {
        Self { payload, origin: Some(origin), mailbox, source: Source::Known(source) }
    }

    /// Answers it, by the responder that the subscriber was built with: see [`Responder::respond`].
    ///
    /// Who answers later, or on another thread, keeps the [`Origin`] and gives it to the responder.
    ///
    /// # Errors
    /// [`RespondError::NoHeader`] in raw mode, [`RespondError::NoResponder`], and what `Responder::respond` fails with.
    ///
    /// [`Responder::respond`]: crate::Responder::respond
    pub fn respond(&self, result: &[u8]) -> Result<(), RespondError> {
        let origin = self.origin.as_ref().ok_or(RespondError::NoHeader)?;
        let responder = self.mailbox.responder.as_ref().ok_or(RespondError::NoResponder)?;
        responder.respond(origin, result)
    }

    /// Where it came from; for a message of several datagrams, or one that waited, where the publisher was
    /// when it was last looked at.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        match self.source {
            Source::Inbox => self.mailbox.inbox.segment_source(),
            Source::Known(source) => source,
        }
    }
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Message");
        debug.field("payload", &self.payload).field("origin", &self.origin);
        debug.field("source", &self.source()).finish()
    }
}

impl Origin {
    /// Of no message.
    pub(super) const NONE: Self = Self {
        publisher: 0,
        session: Session::from_bits(0),
        stream: 0,
        seq: 0,
        part: 0,
        timestamp_ns: 0,
        rescued: false,
    };

    /// What a header says of its datagram, and of the first message in it.
    #[inline]
    pub(super) fn of(header: &Header) -> Self {
        Self {
            publisher: header.publisher.get(),
            session: Session::from_bits(header.session.get()),
            stream: header.stream.get(),
            seq: header.seq.get(),
            part: 0,
            timestamp_ns: header.timestamp.get(),
            rescued: header.is_repeated(),
        }
    }
}
