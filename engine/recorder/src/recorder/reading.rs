//! From a datagram to a response: what a recorder checks, in the order of `docs/wire-format.md`.

use std::net::SocketAddr;

use headcast_proto::header::flags;
use headcast_proto::stored::SPAN;
use headcast_proto::{Datagram, Refusal, StreamId, response};

use crate::{Responder, Response, Subject};

/// The response that a valid datagram carries, if it can be stored.
pub(super) fn read<'a>(
    datagram: &Datagram<'a>,
    source: SocketAddr,
    received_ns: u64,
) -> Result<Response<'a>, Refusal> {
    let (subject, result) = response::read(datagram).ok_or(Refusal::Unexpected)?;
    if datagram.flags() & flags::SEALED != 0 {
        return Err(Refusal::Sealed);
    }
    if datagram.stream() != 0 {
        return Err(Refusal::Stream);
    }
    let (session, seq) = (datagram.session().to_bits(), datagram.seq());
    let own = StreamId { publisher: datagram.publisher(), session: datagram.session(), stream: 0 };
    if !response::is_storable(own, 1) || !response::is_storable(subject.id, 1) {
        return Err(Refusal::SessionImplausible);
    }
    let held_from = response::held_from(datagram);
    if !response::is_storable(own, seq) || !response::is_storable(subject.id, subject.seq) || held_from > seq
    {
        return Err(Refusal::Sequence);
    }
    if seq - held_from >= SPAN {
        return Err(Refusal::Jump);
    }
    Ok(Response {
        responder: Responder { publisher: datagram.publisher(), session },
        seq,
        held_from,
        source,
        received_ns,
        subject: Subject {
            publisher: subject.id.publisher,
            session: subject.id.session.to_bits(),
            stream: subject.id.stream,
            seq: subject.seq,
            part: subject.part,
        },
        result,
    })
}
