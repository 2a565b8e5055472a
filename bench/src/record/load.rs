//! Responders that cost as little as possible: one thread, one socket, datagrams as they are on the wire.

use std::error::Error;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use headcast_proto::response::{self, ACK_LEN, RESPONSE_ROOM, Subject};
use headcast_proto::stored::SPAN;
use headcast_proto::{Datagram, Kind, Now, Sequencer, Session, StreamId, body};
use headcast_udp::{Errno, Inbox};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::time::TimeSpec;

use crate::clock::now;

/// Datagrams in one system call at most, and bytes.
const BURST_MAX: usize = 64;
const BURST_BYTES_MAX: usize = 60_000;
/// Responses under way at most, of all responders together.
const UNDER_WAY_MAX: u64 = 16_384;
/// After so long without an acknowledgement everything under way is sent again.
const SILENCE: Duration = Duration::from_millis(500);
/// After so long nothing more will come.
const DEAD: Duration = Duration::from_secs(60);

/// Responses of many responders, each to another message.
pub(super) struct Load {
    socket: UdpSocket,
    inbox: Inbox,
    responders: Vec<Responder>,
    datagram: Vec<u8>,
    /// Datagrams that go out together.
    burst: Vec<u8>,
    sent: u64,
    acknowledged: u64,
    again: u64,
    /// When something was acknowledged last.
    heard: Instant,
}

struct Responder {
    number: u32,
    sent: u64,
    acknowledged: u64,
}

impl Load {
    pub(super) fn new(recorder: SocketAddr, responders: u64, result: usize) -> Result<Self, Box<dyn Error>> {
        let (socket, _) = headcast_udp::ingress((Ipv4Addr::LOCALHOST, 0).into(), 4 << 20)?;
        socket.connect(recorder)?;
        let responder =
            |at: u64| Responder { number: u32::try_from(at).unwrap_or(0), sent: 0, acknowledged: 0 };
        Ok(Self {
            socket,
            inbox: Inbox::new(ACK_LEN + 1),
            responders: (0..responders).map(responder).collect(),
            datagram: vec![0x5a; RESPONSE_ROOM + result],
            burst: Vec::with_capacity(BURST_BYTES_MAX),
            sent: 0,
            acknowledged: 0,
            again: 0,
            heard: now(),
        })
    }

    /// Sends so many as fast as they are acknowledged.
    pub(super) fn flood(&mut self, responses: u64) -> Result<(), Box<dyn Error>> {
        self.heard = now();
        while self.acknowledged < responses {
            self.send_burst(responses)?;
            self.receive(|_, _| {})?;
            if self.sent >= responses || !self.may_send() {
                self.wait(Duration::from_millis(1))?;
            }
            self.see_to_silence()?;
        }
        Ok(())
    }

    /// Sends at a rate for so many seconds, each response at its own time whatever became of those before.
    pub(super) fn pace(
        &mut self,
        rate: u64,
        seconds: u64,
        latency_ns: &mut Histogram<u64>,
    ) -> Result<(), Box<dyn Error>> {
        let (before, total) = (self.sent, rate * seconds);
        let start = now();
        self.heard = start;
        let due = |nth: u64| start + Duration::from_nanos(nth * 1_000_000_000 / rate.max(1));
        let responders = self.responders.len() as u64;
        while self.acknowledged < before + total {
            while self.sent < before + total && due(self.sent - before) <= now() && self.send_next()? {}
            let mut told = Ok(());
            self.receive(|responder, seq| {
                // Responses go to the responders in turn.
                let nth = (seq - 1) * responders + responder - before;
                let latency = now().saturating_duration_since(due(nth));
                told = latency_ns.record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1));
            })?;
            told?;
            let next = if self.sent < before + total { due(self.sent - before) } else { now() + SILENCE };
            self.wait(next.saturating_duration_since(now()).min(SILENCE))?;
            self.see_to_silence()?;
        }
        Ok(())
    }

    /// How many were sent again.
    pub(super) fn again(&self) -> u64 {
        self.again
    }

    fn may_send(&self) -> bool {
        let next = &self.responders[self.place(self.sent)];
        self.sent - self.acknowledged < UNDER_WAY_MAX && next.sent - next.acknowledged < SPAN
    }

    /// Returns whether the kernel had room.
    fn send_next(&mut self) -> Result<bool, Box<dyn Error>> {
        self.burst.clear();
        self.add_next();
        match self.socket.send(&self.burst) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                self.take_back(1);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// As many as may go now, by one system call: what a load costs should not be what is measured.
    fn send_burst(&mut self, responses: u64) -> Result<(), Box<dyn Error>> {
        self.burst.clear();
        let most = (BURST_BYTES_MAX / self.datagram.len()).clamp(1, BURST_MAX);
        let mut count = 0;
        while count < most && self.sent < responses && self.may_send() {
            self.add_next();
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let segment = u16::try_from(self.datagram.len())?;
        let bytes = [IoSlice::new(&self.burst)];
        let control = [ControlMessage::UdpGsoSegments(&segment)];
        match sendmsg::<()>(self.socket.as_raw_fd(), &bytes, &control, MsgFlags::empty(), None) {
            Ok(_) => Ok(()),
            Err(Errno::EAGAIN) => {
                self.take_back(count);
                Ok(())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Puts the next response into the burst.
    fn add_next(&mut self) {
        let at = self.place(self.sent);
        let responder = &mut self.responders[at];
        let (seq, message) = (responder.sent + 1, self.sent + 1);
        seal(&mut self.datagram, responder.number, seq, message, responder.acknowledged + 1);
        self.burst.extend_from_slice(&self.datagram);
        responder.sent += 1;
        self.sent += 1;
    }

    /// What was put there last has not been sent.
    fn take_back(&mut self, count: usize) {
        for _ in 0..count {
            self.sent -= 1;
            let at = self.place(self.sent);
            self.responders[at].sent -= 1;
        }
    }

    fn place(&self, nth: u64) -> usize {
        usize::try_from(nth % self.responders.len() as u64).unwrap_or(0)
    }

    /// Reads what came back; `told` hears each responder and sequence that is acknowledged, in order.
    fn receive(&mut self, mut told: impl FnMut(u64, u64)) -> Result<(), Box<dyn Error>> {
        loop {
            let count = match self.inbox.receive(self.socket.as_fd()) {
                Ok(count) => count,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            };
            for at in 0..count {
                let Ok(datagram) = Datagram::parse(self.inbox.datagram(at).0) else { continue };
                if datagram.kind() != Kind::Ack {
                    continue;
                }
                let Ok(ack) = body::ack(datagram.payload()) else { continue };
                let number = u64::from(ack.publisher.get());
                let Some(responder) = usize::try_from(number).ok().and_then(|at| self.responders.get_mut(at))
                else {
                    continue;
                };
                // What lies beyond a hole counts when the hole is filled.
                while responder.acknowledged + 1 < ack.next.get().min(responder.sent + 1) {
                    responder.acknowledged += 1;
                    self.acknowledged += 1;
                    told(number, responder.acknowledged);
                    self.heard = now();
                }
            }
        }
    }

    fn wait(&self, time: Duration) -> Result<(), Box<dyn Error>> {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let time = TimeSpec::from_duration(time);
        match ppoll(&mut fds, Some(time), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends again what nobody acknowledges.
    fn see_to_silence(&mut self) -> Result<(), Box<dyn Error>> {
        let silence = now().saturating_duration_since(self.heard);
        if self.sent == self.acknowledged || silence < SILENCE {
            return Ok(());
        }
        if silence > DEAD {
            return Err("the recorder acknowledges nothing any more".into());
        }
        let responders = self.responders.len() as u64;
        for at in 0..self.responders.len() {
            let responder = &self.responders[at];
            for seq in responder.acknowledged + 1..=responder.sent {
                let message = (seq - 1) * responders + at as u64 + 1;
                seal(&mut self.datagram, responder.number, seq, message, responder.acknowledged + 1);
                // What the kernel has no room for goes the next time.
                let _ = self.socket.send(&self.datagram);
                self.again += 1;
            }
        }
        // Give the recorder time before everything goes again.
        self.heard = now();
        Ok(())
    }
}

/// Writes response `seq` of a responder, to one message of the only stream there is.
fn seal(datagram: &mut [u8], number: u32, seq: u64, message: u64, held_from: u64) {
    let session = Session::new(1, 1);
    let mut sequencer = Sequencer::at(number, session, 0, seq - 1);
    let id = StreamId { publisher: 1, session, stream: 0 };
    let subject = Subject { id, seq: message, part: 0 };
    let now = Now { mono_ns: 0, unix_ns: 2_000_000 };
    response::seal(&mut sequencer, datagram, now, subject);
    response::update(datagram, held_from, false);
}
