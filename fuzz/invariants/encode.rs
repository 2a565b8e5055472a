//! A datagram's bytes from its fields alone, as the table of `docs/wire-format.md` lays them out and
//! without the types of the decoder.

/// Every field of a datagram that its length does not give.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) key_id: u8,
    pub(crate) copy: u8,
    pub(crate) retransmission: bool,
    pub(crate) hops: u8,
    pub(crate) stream: u16,
    pub(crate) publisher: u32,
    pub(crate) index: u16,
    pub(crate) count: u16,
    pub(crate) session: u64,
    pub(crate) seq: u64,
    pub(crate) timestamp: u64,
    pub(crate) extension: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) tag: &'a [u8],
}

impl Fields<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let payload_len = u16::try_from(self.payload.len()).expect("a payload is under 64 KiB");
        let path = self.copy | u8::from(self.retransmission) << 3 | self.hops << 4;
        [
            &[1 << 4 | self.kind, self.flags, self.key_id, path][..],
            &self.stream.to_le_bytes(),
            &payload_len.to_le_bytes(),
            &self.publisher.to_le_bytes(),
            &self.index.to_le_bytes(),
            &self.count.to_le_bytes(),
            &self.session.to_le_bytes(),
            &self.seq.to_le_bytes(),
            &self.timestamp.to_le_bytes(),
            self.extension,
            self.payload,
            self.tag,
        ]
        .concat()
    }
}
