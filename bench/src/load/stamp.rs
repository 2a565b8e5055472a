//! What every message begins with, whatever carries it.

/// In front of every payload: which run it belongs to, which message it is, and when it was due.
///
/// | bytes | meaning |
/// |---|---|
/// | 0-3 | `HCB1` |
/// | 4-7 | the run, little-endian: chance, so that what a run before left in a queue is no message of this one |
/// | 8-15 | the number of the message, little-endian, from 0 |
/// | 16-23 | when it was due, nanoseconds of `CLOCK_MONOTONIC`, little-endian |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The run.
    pub run: u32,
    /// The number of the message, from 0.
    pub seq: u64,
    /// When it was due, nanoseconds of `CLOCK_MONOTONIC`. Receivers on the same machine share that clock.
    pub due_ns: u64,
}

/// Bytes that a stamp takes: the shortest payload.
pub const STAMP_LEN: usize = 24;

const MAGIC: [u8; 4] = *b"HCB1";

impl Stamp {
    /// Writes it to the front of a payload.
    ///
    /// # Panics
    /// If the payload is shorter than [`STAMP_LEN`].
    #[inline]
    pub fn write(&self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&MAGIC);
        payload[4..8].copy_from_slice(&self.run.to_le_bytes());
        payload[8..16].copy_from_slice(&self.seq.to_le_bytes());
        payload[16..STAMP_LEN].copy_from_slice(&self.due_ns.to_le_bytes());
    }

    /// Reads it from the front of a payload; `None` when there is none.
    #[inline]
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let [front, seq, due_ns] = numbers(payload)?;
        let run = u32::try_from(front >> 32).ok()?;
        (front == Self::front(run)).then_some(Self { run, seq, due_ns })
    }

    /// The same of a payload of the run with this [`front`](Self::front) only: number, and when it was due.
    #[inline]
    #[must_use]
    pub fn read_of(front: u64, payload: &[u8]) -> Option<(u64, u64)> {
        let [found, seq, due_ns] = numbers(payload)?;
        (found == front).then_some((seq, due_ns))
    }

    /// The first eight bytes of every payload of a run, as one number.
    #[must_use]
    pub fn front(run: u32) -> u64 {
        u64::from(run) << 32 | u64::from(u32::from_le_bytes(MAGIC))
    }
}

/// The bytes of a stamp, eight at a time.
#[inline]
fn numbers(payload: &[u8]) -> Option<[u64; 3]> {
    let ([front, seq, due_ns], _) = payload.get(..STAMP_LEN)?.as_chunks::<8>() else { return None };
    Some([front, seq, due_ns].map(|bytes| u64::from_le_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp { run: 0x0102_0304, seq: u64::MAX, due_ns: 1 << 60 };
        let mut payload = [0xff; 40];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        let of = |run| Stamp::read_of(Stamp::front(run), &payload);
        assert_eq!((of(stamp.run), of(7)), (Some((stamp.seq, stamp.due_ns)), None));
        assert_eq!(payload[STAMP_LEN..], [0xff; 16], "nothing behind it is touched");
    }

    #[test]
    fn what_is_short_or_of_somebody_else_has_none() {
        let mut payload = [0; STAMP_LEN];
        Stamp { run: 1, seq: 2, due_ns: 3 }.write(&mut payload);
        for len in 0..STAMP_LEN {
            assert_eq!(Stamp::read(&payload[..len]), None, "{len} bytes");
        }
        payload[0] ^= 1;
        assert_eq!(Stamp::read(&payload), None);
    }
}
