//! Which run of a publisher a datagram belongs to, and the publisher's number.

/// Bits of chance below the start time.
const RANDOM_BITS: u32 = 20;

/// One run of a publisher: 44 bits Unix milliseconds at its start, then 20 random bits.
///
/// Sessions compare as they follow one another: a restart is a larger session, as long as the wall
/// clock goes forward.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(u64);

impl Session {
    /// A session that starts at `unix_ms` milliseconds since the Unix epoch.
    ///
    /// The low 20 bits of `random` tell apart sessions that start in the same millisecond.
    #[must_use]
    pub const fn new(unix_ms: u64, random: u32) -> Self {
        let random = random & ((1 << RANDOM_BITS) - 1);
        Self(unix_ms << RANDOM_BITS | random as u64)
    }

    /// The session as the header spells it.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// For the header.
    #[inline]
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Milliseconds since the Unix epoch at which the session says that it started.
    #[inline]
    #[must_use]
    pub const fn start_ms(self) -> u64 {
        self.0 >> RANDOM_BITS
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({self})")
    }
}

impl std::fmt::Display for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A publisher's number from its name, stable over restarts: 32-bit FNV-1a, as specified in
/// draft-eastlake-fnv.
#[must_use]
pub const fn publisher_id(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let mut hash: u32 = 0x811c_9dc5;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_a_larger_session() {
        assert!(Session::new(1_001, 0) > Session::new(1_000, u32::MAX));
        assert_eq!(Session::new(1_000, 7).start_ms(), 1_000);
    }

    #[test]
    fn the_publisher_id_is_fnv_1a() {
        // Test vectors of draft-eastlake-fnv, appendix C.
        assert_eq!(publisher_id(""), 0x811c_9dc5);
        assert_eq!(publisher_id("a"), 0xe40c_292c);
        assert_eq!(publisher_id("foobar"), 0xbf9c_f968);
    }
}
