//! Numbers datagrams and writes their headers where they lie.

use zerocopy::IntoBytes;

use crate::header::{HEADER_LEN, Header, Kind, flags};
use crate::{Now, Session};

/// The sending end of one (publisher, session, stream).
#[derive(Clone, Debug)]
pub struct Sequencer {
    publisher: u32,
    session: Session,
    stream: u16,
    /// What every datagram of the stream carries.
    flags: u8,
    last_seq: u64,
    /// At first the session's start: no datagram may be older than its session.
    last_timestamp: u64,
}

/// Which part of a message a datagram carries.
#[derive(Clone, Copy)]
struct Part {
    flags: u8,
    /// Bytes between header and payload.
    extension: usize,
    index: u16,
    count: u16,
}

const WHOLE: Part = Part { flags: 0, extension: 0, index: 0, count: 1 };

impl Sequencer {
    /// A stream that has sent nothing yet.
    #[must_use]
    pub const fn new(publisher: u32, session: Session, stream: u16) -> Self {
        let last_timestamp = session.start_ms().saturating_mul(1_000_000);
        Self { publisher, session, stream, flags: 0, last_seq: 0, last_timestamp }
    }

    /// A stream that has sent so many datagrams: for tests and loads that make any one of them.
    #[must_use]
    pub const fn at(publisher: u32, session: Session, stream: u16, sent: u64) -> Self {
        let mut sequencer = Self::new(publisher, session, stream);
        sequencer.last_seq = sent;
        sequencer
    }

    /// Tells receivers not to ask for repairs: nobody would answer.
    #[must_use]
    pub const fn without_repair(mut self) -> Self {
        self.flags = flags::NO_REPAIR;
        self
    }

    /// The number of the last datagram sealed; 0 before the first.
    #[inline]
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Which run of the publisher this is.
    #[must_use]
    pub const fn session(&self) -> Session {
        self.session
    }

    /// The publisher's number.
    #[must_use]
    pub const fn publisher(&self) -> u32 {
        self.publisher
    }

    /// Counts one datagram that goes out without a header, and gives its number.
    #[inline]
    pub fn count(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// Makes `datagram`, whose payload lies behind room for the header, the next one of the stream.
    ///
    /// Returns its sequence.
    ///
    /// # Panics
    /// If `datagram` is shorter than a header or its payload longer than 65,535 bytes: the ring's
    /// slots are neither.
    #[inline]
    pub fn seal(&mut self, datagram: &mut [u8], now: Now) -> u64 {
        self.seal_as(datagram, now, Kind::Data, WHOLE)
    }

    /// Makes `datagram` the next one of the stream, and part `index` of a message of `count` parts (2 to
    /// [`FRAGMENTS_MAX`](crate::header::FRAGMENTS_MAX)). The parts of a message follow one another.
    ///
    /// # Panics
    /// As [`seal`](Self::seal).
    pub fn seal_fragment(&mut self, datagram: &mut [u8], now: Now, index: u16, count: u16) -> u64 {
        self.seal_as(datagram, now, Kind::Data, Part { flags: flags::FRAGMENT, extension: 0, index, count })
    }

    /// Makes `datagram` the next one of the stream, of `count` messages that share it (at least 1): its payload is, for
    /// each, a length of two bytes, least significant first, and the message.
    ///
    /// Returns the one sequence that they share.
    ///
    /// # Panics
    /// As [`seal`](Self::seal).
    #[inline]
    pub fn seal_coalesced(&mut self, datagram: &mut [u8], now: Now, count: u16) -> u64 {
        self.seal_as(datagram, now, Kind::Data, Part { flags: flags::COALESCED, index: count, ..WHOLE })
    }

    /// Makes `datagram`, whose payload is a request for repairs, the next one of the stream.
    ///
    /// # Panics
    /// As [`seal`](Self::seal).
    pub fn seal_nak(&mut self, datagram: &mut [u8], now: Now) -> u64 {
        self.seal_as(datagram, now, Kind::Nak, WHOLE)
    }

    /// Makes `datagram` the next one, of a kind whose payload the protocol itself reads. `extension` bytes of it lie
    /// between header and payload.
    ///
    /// # Panics
    /// As [`seal`](Self::seal).
    pub(crate) fn seal_behind(
        &mut self,
        datagram: &mut [u8],
        now: Now,
        kind: Kind,
        flags: u8,
        extension: usize,
    ) -> u64 {
        self.seal_as(datagram, now, kind, Part { flags, extension, ..WHOLE })
    }

    /// Writes what tells that the publisher is there, and which sequence was its last.
    pub fn heartbeat(&self, datagram: &mut [u8; HEADER_LEN], now: Now) {
        self.write(datagram, Kind::Heartbeat, self.last_seq, self.timestamp(now), WHOLE);
    }

    /// Writes the farewell: the publisher stops, and this was its last sequence.
    pub fn end(&self, datagram: &mut [u8; HEADER_LEN], now: Now) {
        self.write(datagram, Kind::End, self.last_seq, self.timestamp(now), WHOLE);
    }

    #[inline]
    fn seal_as(&mut self, datagram: &mut [u8], now: Now, kind: Kind, part: Part) -> u64 {
        let seq = self.count();
        self.last_timestamp = self.timestamp(now);
        self.write(datagram, kind, seq, self.last_timestamp, part);
        seq
    }

    /// Strictly increasing even when the wall clock is not, and never before the session's start. (The
    /// clock's nanoseconds fill a u64 in the year 2554.)
    #[inline]
    fn timestamp(&self, now: Now) -> u64 {
        now.unix_ns.max(self.last_timestamp.wrapping_add(1))
    }

    #[inline]
    fn write(&self, datagram: &mut [u8], kind: Kind, seq: u64, timestamp: u64, part: Part) {
        let payload_len =
            u16::try_from(datagram.len() - HEADER_LEN - part.extension).expect("a slot is under 64 KiB");
        let header = Header {
            version_kind: kind.first_byte(),
            flags: self.flags | part.flags,
            key_id: 0,
            path: 0,
            stream: self.stream.into(),
            payload_len: payload_len.into(),
            publisher: self.publisher.into(),
            index: part.index.into(),
            frag_count: part.count.into(),
            session: self.session.to_bits().into(),
            seq: seq.into(),
            timestamp: timestamp.into(),
        };
        datagram[..HEADER_LEN].copy_from_slice(header.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Datagram;

    fn at(unix_ns: u64) -> Now {
        Now { mono_ns: 0, unix_ns }
    }

    #[test]
    fn what_is_sealed_parses_to_the_same_fields() {
        let session = Session::new(5, 9);
        let mut sequencer = Sequencer::new(0xdead_beef, session, 3);
        let mut bytes = [0u8; HEADER_LEN + 5];
        bytes[HEADER_LEN..].copy_from_slice(b"hello");
        assert_eq!(sequencer.seal(&mut bytes, at(7_000_000)), 1);
        let datagram = Datagram::parse(&bytes).expect("a sealed datagram is valid");
        assert_eq!(datagram.kind(), Kind::Data);
        assert_eq!(datagram.publisher(), 0xdead_beef);
        assert_eq!(datagram.session(), session);
        assert_eq!((datagram.stream(), datagram.seq(), datagram.timestamp()), (3, 1, 7_000_000));
        assert_eq!(datagram.payload(), b"hello");
    }

    #[test]
    fn messages_that_share_a_datagram_share_its_sequence_and_keep_the_flags_of_the_stream() {
        let mut sequencer = Sequencer::new(1, Session::new(5, 9), 3).without_repair();
        let mut bytes = [0u8; HEADER_LEN + 2 + 2 + 2];
        bytes[HEADER_LEN..].copy_from_slice(&[2, 0, b'h', b'i', 0, 0]);
        assert_eq!(sequencer.seal_coalesced(&mut bytes, at(7_000_000), 2), 1);
        let datagram = Datagram::parse(&bytes).expect("a sealed datagram is valid");
        assert_eq!((datagram.kind(), datagram.seq(), sequencer.last_seq()), (Kind::Data, 1, 1));
        assert_eq!(datagram.flags(), flags::COALESCED | flags::NO_REPAIR);
        assert_eq!(datagram.payload(), b"\x02\0hi\0\0");
    }

    #[test]
    fn timestamps_increase_while_the_wall_clock_steps_back() {
        let mut sequencer = Sequencer::new(1, Session::new(2, 0), 0);
        let mut bytes = [0u8; HEADER_LEN];
        let mut stamps = Vec::new();
        for unix_ns in [9_000_000, 4_000_000, 9_000_001, 0] {
            sequencer.seal(&mut bytes, at(unix_ns));
            stamps.push(Datagram::parse(&bytes).expect("valid").timestamp());
        }
        assert_eq!(stamps, [9_000_000, 9_000_001, 9_000_002, 9_000_003]);
    }

    #[test]
    fn a_wall_clock_before_the_session_start_still_makes_valid_datagrams() {
        let mut sequencer = Sequencer::new(1, Session::new(1_000, 0), 0);
        let mut bytes = [0u8; HEADER_LEN];
        sequencer.seal(&mut bytes, at(5));
        assert_eq!(Datagram::parse(&bytes).expect("valid").timestamp(), 1_000_000_001);
    }

    #[test]
    fn end_names_the_last_sequence() {
        let mut sequencer = Sequencer::new(1, Session::new(1, 0), 0);
        let mut bytes = [0u8; HEADER_LEN];
        sequencer.end(&mut bytes, at(1_000_000));
        assert_eq!(Datagram::parse(&bytes).expect("valid").seq(), 0);
        sequencer.seal(&mut [0; 50], at(1_000_000));
        sequencer.end(&mut bytes, at(1_000_000));
        let end = Datagram::parse(&bytes).expect("valid");
        assert_eq!((end.kind(), end.seq()), (Kind::End, 1));
    }
}
