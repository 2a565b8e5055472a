//! The responder's thread: numbers what was accepted, sends it until it is acknowledged.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use headcast_proto::responding::{Due, Outstanding};
use headcast_proto::response::{self, ACK_LEN};
use headcast_proto::{Datagram, Kind, Sequencer, body};
use headcast_udp::{Errno, Inbox};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::Shared;
use crate::address::reachable;
use crate::clock;
use crate::timer::Timer;

/// The waker's token: something was accepted, or changed.
pub(super) const QUEUE: Token = Token(0);
const SOCKET: Token = Token(1);
const TIMER: Token = Token(2);

/// How long to wait when the kernel has no room for another datagram.
const BLOCKED_NS: u64 = 1_000_000;
/// Calls to receive between two looks at what is due.
const RECEIVES_MAX: usize = 16;
/// Responses numbered between two looks at what came back.
const ACCEPT_MAX: usize = 256;

pub(super) struct Sending {
    poll: Poll,
    events: Events,
    timer: Timer,
    socket: UdpSocket,
    /// The socket is of IPv6.
    ipv6: bool,
    inbox: Inbox,
    sequencer: Sequencer,
    outstanding: Outstanding,
    /// What is held: the datagram of a sequence is at `seq mod length`; empty when it is acknowledged.
    datagrams: Box<[Box<[u8]>]>,
    recorders: Arc<[SocketAddr]>,
    /// The version that they are of.
    version: u64,
    /// The one that acknowledged last: it writes, the others stand by.
    writer: usize,
    /// The kernel had no room; it is tried again then. 0 if it has.
    blocked_until_ns: u64,
    /// Nothing has been acknowledged for a time-out.
    silent: bool,
    shared: Arc<Shared>,
}

impl Sending {
    pub(super) fn new(
        poll: Poll,
        socket: UdpSocket,
        ipv6: bool,
        sequencer: Sequencer,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let responses = shared.queue.capacity();
        poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), SOCKET, Interest::READABLE)?;
        Ok(Self {
            events: Events::with_capacity(8),
            timer: Timer::new(poll.registry(), TIMER)?,
            poll,
            socket,
            ipv6,
            // One more: a longer datagram is no acknowledgement, and is seen to be longer.
            inbox: Inbox::new(ACK_LEN + 1),
            sequencer,
            outstanding: Outstanding::new(responses),
            datagrams: vec![Box::default(); responses].into(),
            recorders: Arc::default(),
            version: 0,
            writer: 0,
            blocked_until_ns: 0,
            silent: false,
            shared,
        })
    }

    pub(super) fn run(mut self) {
        while !self.shared.stopped.load(SeqCst) {
            if let Err(error) = self.turn() {
                self.shared.fail(&error);
                return;
            }
        }
    }

    fn turn(&mut self) -> io::Result<()> {
        self.look_up();
        let more = self.receive()? | self.accept();
        let now_ns = clock::mono_ns();
        if self.outstanding.tick(now_ns) {
            self.note_silence();
        }
        self.send(now_ns);
        if more { Ok(()) } else { self.sleep() }
    }

    /// Takes over who the recorders are.
    fn look_up(&mut self) {
        let version = self.shared.recorders.version();
        if version != self.version {
            let writer = self.recorders.get(self.writer).copied();
            self.recorders = self.shared.recorders.addresses();
            self.version = version;
            self.writer = self.recorders.iter().position(|there| Some(*there) == writer).unwrap_or(0);
        }
    }

    /// Numbers what was accepted; returns whether there may be more.
    fn accept(&mut self) -> bool {
        for _ in 0..ACCEPT_MAX {
            if self.outstanding.is_full() {
                return false;
            }
            let Some(accepted) = self.shared.queue.pop() else { return false };
            let mut datagram = accepted.datagram;
            let now = clock::now();
            let seq = response::seal(&mut self.sequencer, &mut datagram, now, accepted.subject);
            let own = self.outstanding.accept();
            debug_assert_eq!(own, Some(seq), "both count from 1, one by one");
            let at = self.place(seq);
            self.datagrams[at] = datagram;
        }
        true
    }

    /// Sends all that may go.
    fn send(&mut self, now_ns: u64) {
        if self.recorders.is_empty() || now_ns < self.blocked_until_ns {
            return;
        }
        self.blocked_until_ns = 0;
        while let Some(due) = self.outstanding.due() {
            if !self.send_one(due) {
                self.blocked_until_ns = clock::mono_ns() + BLOCKED_NS;
                return;
            }
            self.outstanding.sent(now_ns, due);
        }
    }

    /// Sends one response: to the recorder that writes, and if it was sent before to all, for another may be the
    /// writer by now. Returns whether the kernel had room.
    fn send_one(&mut self, due: Due) -> bool {
        let counters = &self.shared.counters;
        let at = self.place(due.seq);
        let datagram = &mut self.datagrams[at];
        response::update(datagram, self.outstanding.held_from(), due.again);
        let to = if due.again { 0..self.recorders.len() } else { self.writer..self.writer + 1 };
        for recorder in to {
            match self.socket.send_to(datagram, reachable(self.recorders[recorder], self.ipv6)) {
                Ok(_) if due.again => counters.sent_again.add(1),
                Ok(_) => counters.sent_first.add(1),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // As good as lost on the way: it goes again.
                Err(_) => counters.send_failed.add(1),
            }
        }
        true
    }

    /// Reads the acknowledgements that are there, within bounds; returns whether there may be more.
    fn receive(&mut self) -> io::Result<bool> {
        for _ in 0..RECEIVES_MAX {
            let count = match self.inbox.receive(self.socket.as_fd()) {
                Ok(count) => count,
                Err(Errno::EAGAIN) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            };
            let now_ns = clock::mono_ns();
            for at in 0..count {
                self.acknowledge(now_ns, at);
            }
        }
        Ok(true)
    }

    /// Frees what a datagram of the last batch acknowledges.
    fn acknowledge(&mut self, now_ns: u64, at: usize) {
        let counters = &self.shared.counters;
        let source = self.inbox.source(at);
        let Some(writer) = self.recorders.iter().position(|there| Some(*there) == source) else {
            counters.strays.add(1);
            if counters.strays.get() == 1 {
                tracing::warn!(from = ?source, recorders = ?self.recorders, "something came from an address that is no recorder's, and was ignored");
            }
            return;
        };
        let (bytes, truncated) = self.inbox.datagram(at);
        let ack = match Datagram::parse(bytes) {
            Ok(datagram) if !truncated && datagram.kind() == Kind::Ack => body::ack(datagram.payload()).ok(),
            _ => None,
        };
        let own = (self.sequencer.publisher(), self.sequencer.session().to_bits());
        let Some(ack) = ack.filter(|ack| (ack.publisher.get(), ack.session.get()) == own) else {
            counters.strays.add(1);
            return;
        };
        let (mut bytes, len) = (0, self.datagrams.len() as u64);
        let datagrams = &mut self.datagrams;
        let freed = self.outstanding.acknowledge(now_ns, ack.next.get(), ack.bitmap.get(), |seq| {
            bytes += std::mem::take(&mut datagrams[usize::try_from(seq % len).unwrap_or(0)]).len();
        });
        let Ok(freed) = freed else {
            counters.strays.add(1);
            return;
        };
        counters.acknowledgements.add(1);
        counters.acknowledged.add(freed.into());
        self.shared.held_from.store(self.outstanding.held_from(), SeqCst);
        self.shared.release(freed as usize, bytes);
        self.writer = writer;
        if freed > 0 && std::mem::take(&mut self.silent) {
            tracing::info!(recorder = %self.recorders[writer], "responses are acknowledged again");
        }
    }

    /// Nothing was acknowledged for a time-out: the first is common, two in a row are told.
    fn note_silence(&mut self) {
        self.shared.counters.timeouts.add(1);
        if !self.silent && self.outstanding.is_silent() {
            self.silent = true;
            let held = self.shared.held.load(SeqCst);
            tracing::warn!(held, recorders = ?self.recorders, "no recorder acknowledges; responses are kept and sent again");
        }
    }

    /// Waits until something is accepted, comes back, or is due.
    fn sleep(&mut self) -> io::Result<()> {
        let now_ns = clock::mono_ns();
        let mut deadline_ns = self.outstanding.deadline_ns();
        // Also when that has passed meanwhile: the timer then fires at once.
        if self.blocked_until_ns > 0 {
            deadline_ns = deadline_ns.min(self.blocked_until_ns);
        }
        self.shared.bell.lie_down();
        let nothing_new = self.outstanding.is_full() || self.shared.queue.is_empty();
        if nothing_new && self.version == self.shared.recorders.version() {
            self.timer.arm(deadline_ns, now_ns)?;
            match self.poll.poll(&mut self.events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => result?,
            }
        }
        self.shared.bell.awake();
        Ok(())
    }

    fn place(&self, seq: u64) -> usize {
        // Below a length that is a usize.
        usize::try_from(seq % self.datagrams.len() as u64).unwrap_or(0)
    }
}
