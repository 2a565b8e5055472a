//! What has come and was not taken yet.

use std::io::{self, Read};

use super::{Protocol, is_later};

/// A buffer of fixed size that frames are taken out of where they lie. Only the rest of a frame that has not come as a
/// whole is moved, to the front.
#[derive(Debug)]
pub struct Inbox {
    buffer: Box<[u8]>,
    /// Bytes from the front on that are not taken.
    held: usize,
}

impl Inbox {
    /// For frames of up to so many bytes.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { buffer: vec![0; size].into_boxed_slice(), held: 0 }
    }

    /// One `read(2)`; returns whether there may be more.
    ///
    /// # Errors
    /// When the other side has closed, or the connection is broken.
    #[inline]
    pub fn fill(&mut self, stream: &mut impl Read) -> io::Result<bool> {
        let room = &mut self.buffer[self.held..];
        match stream.read(room) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed the connection")),
            Ok(count) => {
                self.held += count;
                // A stream that gave less than there was room for is empty (`epoll(7)`, questions and answers, 9): no
                // need to read again to be told so.
                Ok(count == room.len())
            }
            Err(error) if is_later(&error) => Ok(error.kind() == io::ErrorKind::Interrupted),
            Err(error) => Err(error),
        }
    }

    /// Hands the complete frames over.
    ///
    /// # Errors
    /// When the protocol does not take them, or a frame has no room in the buffer.
    #[inline]
    pub fn take(
        &mut self,
        protocol: &mut impl Protocol,
        out: &mut Vec<u8>,
        deliver: &mut impl FnMut(&[u8]),
    ) -> io::Result<()> {
        if self.held == 0 {
            return Ok(());
        }
        let taken = protocol.take(&self.buffer[..self.held], out, deliver)?;
        self.buffer.copy_within(taken..self.held, 0);
        self.held -= taken;
        if self.held == self.buffer.len() {
            let what = format!("it sent a frame of more than {} bytes", self.buffer.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(())
    }
}
