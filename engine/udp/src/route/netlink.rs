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
                        NetlinkPayload::InnerMessage(message) => each(message),
                        NetlinkPayload::Error(error) => return Err(error.to_io()),
                        NetlinkPayload::Done(_) => done = true,
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

    /// Asks all questions; hands over each one's number and answer, or `None` for a refusal.
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
                        NetlinkPayload::InnerMessage(message) => Some(message),
                        NetlinkPayload::Error(_) => None,
                        _ => return Ok(()),
                    };
                    left = left.saturating_sub(1);
                    each(batch * BATCH + at, answer);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Hands over all news that are there. An error of `ENOBUFS` means that some were lost.
    pub(super) fn news(&mut self, mut each: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
        loop {
            let received = self.receive(|_, payload| {
                if let NetlinkPayload::InnerMessage(message) = payload {
                    each(message);
                }
                Ok(())
            });
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
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

    /// Receives one datagram of the kernel's, and hands over each message in it that can be read.
    fn receive(
        &mut self,
        mut each: impl FnMut(&NetlinkHeader, NetlinkPayload<RouteNetlinkMessage>) -> io::Result<()>,
    ) -> io::Result<()> {
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
        let mut rest = &self.buffer[..len];
        // Each message begins with its length, and is padded to four bytes.
        while let Some(length) = rest.first_chunk().map(|length| u32::from_ne_bytes(*length) as usize) {
            if length < 16 || length > rest.len() {
                break;
            }
            // What this version of the parser does not know is no reason to miss the rest.
            if let Ok(message) = NetlinkMessage::deserialize(&rest[..length]) {
                each(&message.header, message.payload)?;
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
