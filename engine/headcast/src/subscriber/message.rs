//! What is handed on.

use std::net::SocketAddr;

use headcast_proto::{Datagram, Session, StreamId};

use super::Mailbox;
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
    /// With the datagram at this place of the inbox.
    Inbox(usize),
    Known(Option<SocketAddr>),
}

impl<'a> Message<'a> {
    /// A datagram without a header.
    pub(super) fn raw(mailbox: &'a Mailbox, at: usize) -> Self {
        let payload = mailbox.inbox.datagram(at).0;
        Self { payload, origin: None, mailbox, source: Source::Inbox(at) }
    }

    /// A datagram that has been judged to be a whole message.
    #[inline]
    pub(super) fn whole(mailbox: &'a Mailbox, at: usize) -> Self {
        let Some((header, payload)) = Datagram::reread(mailbox.inbox.datagram(at).0) else {
            return Self::raw(mailbox, at);
        };
        let origin = Origin {
            publisher: header.publisher.get(),
            session: Session::from_bits(header.session.get()),
            stream: header.stream.get(),
            seq: header.seq.get(),
            part: 0,
            timestamp_ns: header.timestamp.get(),
            rescued: header.is_repeated(),
        };
        Self { payload, origin: Some(origin), mailbox, source: Source::Inbox(at) }
    }

    /// A message that was put together, or waited for its turn.
    pub(super) fn kept(
        mailbox: &'a Mailbox,
        payload: &'a [u8],
        origin: Option<Origin>,
        source: Option<SocketAddr>,
    ) -> Self {
        Self { payload, origin, mailbox, source: Source::Known(source) }
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
            Source::Inbox(at) => self.mailbox.inbox.source(at),
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
    pub(super) fn new(id: StreamId, seq: u64, timestamp_ns: u64, rescued: bool) -> Self {
        let StreamId { publisher, session, stream } = id;
        Self { publisher, session, stream, seq, part: 0, timestamp_ns, rescued }
    }
}
