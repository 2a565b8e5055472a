//! What is going out when its slots of the ring are needed: then the pass goes on from here.

/// Room for the datagrams of one pass, side by side.
pub(super) struct Aside {
    bytes: Box<[u8]>,
    /// Bytes of all of them, and of each but the last.
    len: usize,
    segment: usize,
    count: usize,
}

impl Aside {
    /// For datagrams of `bytes` together.
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes].into(), len: 0, segment: 0, count: 0 }
    }

    /// Copies them here. All are as long as the first, but the last may be shorter.
    pub(super) fn put<'a>(&mut self, datagrams: impl Iterator<Item = &'a [u8]>) {
        (self.len, self.segment, self.count) = (0, 0, 0);
        for datagram in datagrams {
            if self.count == 0 {
                self.segment = datagram.len();
            }
            self.bytes[self.len..self.len + datagram.len()].copy_from_slice(datagram);
            self.len += datagram.len();
            self.count += 1;
        }
    }

    /// They, one after another.
    pub(super) fn datagrams(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        (0..self.count).map(|at| {
            let from = at * self.segment;
            &self.bytes[from..self.len.min(from + self.segment)]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_there_lies_there() {
        let mut aside = Aside::new(20);
        for datagrams in [&[&b"abc"[..], b"def", b"g"][..], &[b""], &[b"hello, hello, hello!"], &[b"a", b"b"]]
        {
            aside.put(datagrams.iter().copied());
            assert!(aside.datagrams().eq(datagrams.iter().copied()));
            assert_eq!(aside.datagrams().len(), datagrams.len());
        }
    }
}
