//! Questions to the kernel's routing tables, and news of them (`rtnetlink(7)`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

/// Room for one receive call. The kernel fills up to 32 KiB of a dump at once.
const BUFFER: usize = 64 << 10;
/// What may wait to be received, in bytes: the answers to one batch of questions, or a burst of news.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Questions asked before their answers are read.
const BATCH: usize = 64;
/// The kernel answers within the call that asks. Only a defect makes anybody wait so long.
const TIMEOUT: TimeVal = TimeVal::new(1, 0);
/// A dump that changed while it was made is asked for again, so often.
const DUMPS_MAX: usize = 8;

/// Bytes of a message's header.
const HEADER: usize = 16;

/// What is in a message; `None` if it cannot be read.
type Payload = Option<NetlinkPayload<RouteNetlinkMessage>>;

/// A socket to the kernel's routing tables.
pub(super) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
    buffer: Box<[u8]>,
}

impl Netlink {
    /// A socket to ask by.
    pub(super) fn open() -> io::Result<Self> {
        let netlink = Self::new(SockFlag::SOCK_CLOEXEC)?;
        setsockopt(&netlink.fd, sockopt::ReceiveTimeout, &TIMEOUT)?;
        Ok(netlink)
    }

    /// A socket that hears of these groups (`RTNLGRP_*`, `linux/rtnetlink.h`) and never waits.
    pub(super) fn subscribe(groups: &[u32]) -> io::Result<Self> {
        let netlink = Self::new(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
        let mask = groups.iter().fold(0, |mask, group| mask | 1 << (group - 1));
        bind(netlink.fd.as_raw_fd(), &NetlinkAddr::new(0, mask))?;
        Ok(netlink)
    }

    fn new(flags: SockFlag) -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        Ok(Self { fd, sequence: 0, buffer: vec![0; BUFFER].into() })
    }

    /// Hands over everything of a kind that there is.
    pub(super) fn dump(
        &mut self,
        request: &RouteNetlinkMessage,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        for _ in 0..DUMPS_MAX {
            let sequence = self.send(std::iter::once(request.clone()), NLM_F_DUMP)?;
            let (mut done, mut interrupted) = (false, false);
            while !done {
                self.receive(|header, payload| {
                    if header.sequence_number != sequence {
                        return Ok(());
                    }
                    interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                    match payload {
                        Some(NetlinkPayload::InnerMessage(message)) => each(message),
                        Some(NetlinkPayload::Error(error)) => return Err(error.to_io()),
                        Some(NetlinkPayload::Done(_)) => done = true,
                        _ => {}
                    }
                    Ok(())
                })?;
            }
            if !interrupted {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Asks all questions; hands over each one's number and answer, or `None` for a refusal, or for an answer that
    /// cannot be read.
    pub(super) fn ask(
        &mut self,
        questions: &[RouteNetlinkMessage],
        mut each: impl FnMut(usize, Option<RouteNetlinkMessage>),
    ) -> io::Result<()> {
        for (batch, questions) in questions.chunks(BATCH).enumerate() {
            let first = self.send(questions.iter().cloned(), 0)?;
            let mut left = questions.len();
            while left > 0 {
                self.receive(|header, payload| {
                    let at = header.sequence_number.wrapping_sub(first) as usize;
                    if at >= questions.len() {
                        return Ok(());
                    }
                    let answer = match payload {
                        Some(NetlinkPayload::InnerMessage(message)) => Some(message),
                        Some(NetlinkPayload::Error(_)) | None => None,
                        Some(_) => return Ok(()),
                    };
                    left = left.saturating_sub(1);
                    each(batch * BATCH + at, answer);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Hands over all news that are there. An error of `ENOBUFS` means that some were lost: it comes after all that
    /// are older than what is there by then.
    pub(super) fn news(&mut self, mut each: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
        let mut lost = Ok(());
        loop {
            let received = self.receive(|_, payload| {
                if let Some(NetlinkPayload::InnerMessage(message)) = payload {
                    each(message);
                }
                Ok(())
            });
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return lost,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => lost = Err(error),
                result => result?,
            }
        }
    }

    /// Sends requests in one datagram; returns the sequence number of the first.
    fn send(&mut self, requests: impl Iterator<Item = RouteNetlinkMessage>, flags: u16) -> io::Result<u32> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            let mut header = NetlinkHeader::default();
            header.flags = NLM_F_REQUEST | flags;
            header.sequence_number = self.sequence;
            let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
            message.finalize();
            let start = bytes.len();
            bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
            message.serialize(&mut bytes[start..start + message.buffer_len()]);
        }
        send(self.fd.as_raw_fd(), &bytes, MsgFlags::empty())?;
        Ok(first)
    }

    /// Receives one datagram of the kernel's, and hands over each message in it.
    fn receive(&mut self, each: impl FnMut(&NetlinkHeader, Payload) -> io::Result<()>) -> io::Result<()> {
        let (len, from) = loop {
            match recvfrom::<NetlinkAddr>(self.fd.as_raw_fd(), &mut self.buffer) {
                Err(Errno::EINTR) => {}
                result => break result?,
            }
        };
        // The kernel is number 0.
        if from.is_none_or(|from| from.pid() != 0) {
            return Ok(());
        }
        each_message(&self.buffer[..len], each)
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Hands over the header of each message in a datagram of the kernel's, and what is in it.
fn each_message(
    mut rest: &[u8],
    mut each: impl FnMut(&NetlinkHeader, Payload) -> io::Result<()>,
) -> io::Result<()> {
    while let Some((header, length)) = header(rest) {
        if length < HEADER || length > rest.len() {
            break;
        }
        // What this version of the parser does not know is no reason to miss the rest.
        let payload = NetlinkMessage::deserialize(&rest[..length]).ok().map(|message| message.payload);
        each(&header, payload)?;
        // Each is padded to four bytes.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// The header at the beginning of a message, and how long it says that the message is with it.
fn header(bytes: &[u8]) -> Option<(NetlinkHeader, usize)> {
    let bytes: &[u8; HEADER] = bytes.first_chunk()?;
    let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let mut header = NetlinkHeader::default();
    header.length = word(0);
    header.message_type = half(4);
    header.flags = half(6);
    header.sequence_number = word(8);
    header.port_number = word(12);
    Some((header, word(0) as usize))
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::route::RouteMessage;

    use super::*;

    #[test]
    fn a_message_that_cannot_be_read_is_handed_over_by_its_header_and_the_next_is_read() {
        let mut bytes = Vec::new();
        for sequence in [7, 8] {
            let mut header = NetlinkHeader::default();
            header.sequence_number = sequence;
            let payload = NetlinkPayload::from(RouteNetlinkMessage::NewRoute(RouteMessage::default()));
            let mut message = NetlinkMessage::new(header, payload);
            message.finalize();
            let start = bytes.len();
            bytes.resize(start + message.buffer_len(), 0);
            message.serialize(&mut bytes[start..]);
        }
        // The first one is cut within its fixed part.
        let first = bytes.len() / 2;
        bytes[..4].copy_from_slice(&20u32.to_ne_bytes());
        bytes.drain(20..first);
        let mut seen = Vec::new();
        each_message(&bytes, |header, payload| {
            seen.push((header.sequence_number, payload.is_some()));
            Ok(())
        })
        .expect("handed over");
        assert_eq!(seen, [(7, false), (8, true)]);
        assert!(each_message(&bytes[..19], |_, _| Err(io::ErrorKind::Other.into())).is_ok());
    }
}
