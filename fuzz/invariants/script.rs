//! Bytes read as the steps of a story.
//!
//! Every string of bytes is some story, and a small change of the bytes is a small change of the story:
//! that is what a fuzzer needs. Past the end everything is zero.

/// The most steps that are played, so that no input takes long.
#[allow(dead_code, reason = "not every target plays steps")]
pub(crate) const STEPS_MAX: usize = 512;

pub(crate) struct Script<'a>(&'a [u8]);

#[allow(dead_code, reason = "not every target reads every kind of number")]
impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    pub(crate) fn i8(&mut self) -> i8 {
        i8::from_le_bytes(self.bytes())
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    pub(crate) fn i16(&mut self) -> i16 {
        i16::from_le_bytes(self.bytes())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// As many bytes as there are, up to `len`.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (now, later) = self.0.split_at(len.min(self.0.len()));
        self.0 = later;
        now
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let now = self.take(N);
        let mut bytes = [0; N];
        bytes[..now.len()].copy_from_slice(now);
        bytes
    }
}
