//! What the receiver tells, kept until it has been checked.

use std::ops::Range;

use headcast_proto::{Event, Session, StreamId};

use super::Subscriber;

/// An event whose payload has been copied aside.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Message { id: StreamId, seq: u64, part: u16, timestamp: u64, bytes: Range<usize> },
    Gap { id: StreamId, from: u64, to: u64 },
    Opened { id: StreamId, seq: u64, before: Option<Session> },
    Ended { id: StreamId },
    Silent { id: StreamId },
}

impl Subscriber {
    /// Takes over everything that the receiver has to tell.
    pub(super) fn listen(&mut self) {
        self.heard.clear();
        self.bytes.clear();
        while let Some(event) = self.receiver.event() {
            self.heard.push(match event {
                Event::Message { id, seq, part, timestamp, payload, .. } => {
                    let from = self.bytes.len();
                    self.bytes.extend_from_slice(payload);
                    Heard::Message { id, seq, part, timestamp, bytes: from..self.bytes.len() }
                }
                Event::Gap { id, from, to } => Heard::Gap { id, from, to },
                Event::Opened { id, seq, before, .. } => Heard::Opened { id, seq, before },
                Event::Ended { id } => Heard::Ended { id },
                Event::Silent { id } => Heard::Silent { id },
            });
        }
    }
}
