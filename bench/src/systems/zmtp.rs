//! ZeroMQ: the side of a `SUB` socket, in ZMTP 3.1 without security (<https://rfc.zeromq.org/spec/37/>).
//!
//! The sender is libzmq itself, for most of what it costs is in its own threads. It is not told when a subscription
//! has come unless it asks: an `XPUB` socket hands it every subscription as a message.

use std::io;
use std::net::SocketAddr;

use super::stream::{self, Connection, Protocol};
use super::text::garbage;

/// Is connected to a `PUB` or `XPUB` socket, and takes what it sends.
pub type Subscriber = stream::Subscriber<Sub>;

/// Signature, version, mechanism, role, and what is kept free.
const GREETING_LEN: usize = 64;
/// Of a frame's flags: more frames follow for the same message, ...
const MORE: u8 = 1;
/// ... its length takes eight bytes instead of one, ...
const LONG: u8 = 2;
/// ... it is a command and no part of a message.
const COMMAND: u8 = 4;
/// The name of a command, its length in front.
const READY: &[u8] = b"\x05READY";
const ERROR: &[u8] = b"\x05ERROR";
const SUBSCRIBE: &[u8] = b"\x09SUBSCRIBE";
const PING: &[u8] = b"\x04PING";
const PONG: &[u8] = b"\x04PONG";
/// The longest context of a `PING`, which is to be sent back.
const CONTEXT_MAX: usize = 16;

impl Subscriber {
    /// Subscribes to everything. There is no confirmation in this protocol: when this returns the subscription is
    /// sent, but the publisher may not have read it.
    ///
    /// # Errors
    /// When no ZeroMQ publisher answers there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Connection::open(address, Sub::default()).map(Self::over)
    }
}

/// The protocol.
#[derive(Debug, Default)]
pub struct Sub {
    state: State,
    /// Frames that were only the first part of a message: envelopes, which are not delivered.
    envelopes: u64,
    pings: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    /// Its greeting is to come, ...
    #[default]
    Greeting,
    /// ... and then its `READY`; it speaks 3.1 or later, or 3.0.
    Handshake {
        later: bool,
    },
    Messages,
}

impl Protocol for Sub {
    const PEER: &'static str = "the ZeroMQ publisher";

    fn hello(&mut self, out: &mut Vec<u8>) {
        let mut greeting = [0; GREETING_LEN];
        greeting[0] = 0xff;
        greeting[9] = 0x7f;
        greeting[10..12].copy_from_slice(&[3, 1]);
        greeting[12..16].copy_from_slice(b"NULL");
        out.extend_from_slice(&greeting);
    }

    #[inline]
    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        deliver: &mut impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        let mut taken = 0;
        if self.state == State::Greeting {
            taken = self.take_greeting(bytes, out)?;
            if taken == 0 {
                return Ok(0);
            }
        }
        while let Some((flags, body, len)) = frame(&bytes[taken..])? {
            taken += len;
            if let State::Handshake { later } = self.state {
                shake_hands(flags, body, later, out)?;
                self.state = State::Messages;
                break;
            }
            if flags & COMMAND != 0 {
                self.obey(body, out)?;
            } else if flags & MORE != 0 {
                self.envelopes += 1;
            } else {
                deliver(body);
            }
        }
        Ok(taken)
    }

    fn is_ready(&self) -> bool {
        self.state == State::Messages
    }

    fn counters(&self) -> Vec<(String, u64)> {
        vec![("zeromq envelopes".into(), self.envelopes), ("zeromq pings".into(), self.pings)]
    }
}

impl Sub {
    fn take_greeting(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        // Whoever speaks something else may not say so much.
        if bytes.first().is_some_and(|first| *first != 0xff) {
            return Err(garbage("no greeting", bytes));
        }
        let Some(greeting) = bytes.first_chunk::<GREETING_LEN>() else { return Ok(0) };
        let (major, minor, mechanism) = (greeting[10], greeting[11], &greeting[12..32]);
        if greeting[9] & 1 == 0 || major < 3 {
            return Err(io::Error::other(format!("it speaks ZMTP {major}.{minor}; 3.0 is needed at least")));
        }
        if mechanism.strip_prefix(b"NULL").is_none_or(|rest| rest.iter().any(|byte| *byte != 0)) {
            let mechanism = mechanism.escape_ascii();
            return Err(io::Error::other(format!("it wants the mechanism \"{mechanism}\" instead of NULL")));
        }
        self.state = State::Handshake { later: major > 3 || minor > 0 };
        let mut ready = READY.to_vec();
        append_property(&mut ready, b"Socket-Type", b"SUB");
        append_frame(out, COMMAND, &ready);
        Ok(GREETING_LEN)
    }

    #[cold]
    fn obey(&mut self, command: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(ping) = command.strip_prefix(PING) {
            // Two bytes say how long it will wait for the next one.
            let context = ping.get(2..).filter(|context| context.len() <= CONTEXT_MAX);
            let context = context.ok_or_else(|| garbage("a malformed PING", command))?;
            append_frame(out, COMMAND, &[PONG, context].concat());
            self.pings += 1;
        } else if command.starts_with(ERROR) {
            return Err(complaint(command));
        }
        // Commands of later versions are passed over.
        Ok(())
    }
}

/// Answers the first frame after the greeting with the subscription to everything.
fn shake_hands(flags: u8, body: &[u8], later: bool, out: &mut Vec<u8>) -> io::Result<()> {
    if flags & COMMAND == 0 || body.starts_with(ERROR) {
        return Err(complaint(body));
    }
    let Some(properties) = body.strip_prefix(READY) else { return Err(garbage("no READY", body)) };
    match property(properties, b"Socket-Type") {
        Some(b"PUB" | b"XPUB") => {}
        Some(other) => {
            let other = other.escape_ascii();
            return Err(io::Error::other(format!("it is a \"{other}\" socket; a PUB or XPUB is needed")));
        }
        None => return Err(garbage("a READY that does not say what socket it is", body)),
    }
    if later {
        append_frame(out, COMMAND, SUBSCRIBE);
    } else {
        // In 3.0 it is a message.
        append_frame(out, 0, &[1]);
    }
    Ok(())
}

/// The frame at the front of `bytes`: its flags, its body, and how many bytes it takes.
#[inline]
fn frame(bytes: &[u8]) -> io::Result<Option<(u8, &[u8], usize)>> {
    let Some(flags) = bytes.first().copied() else { return Ok(None) };
    // A command is one frame.
    if flags & !(MORE | LONG | COMMAND) != 0 || flags & (MORE | COMMAND) == MORE | COMMAND {
        return Err(garbage("a frame with unknown flags", bytes));
    }
    let (header, len): (usize, usize) = if flags & LONG == 0 {
        let Some(len) = bytes.get(1) else { return Ok(None) };
        (2, usize::from(*len))
    } else {
        let Some(len) = bytes.get(1..).and_then(|rest| rest.first_chunk::<8>()) else { return Ok(None) };
        let len = usize::try_from(u64::from_be_bytes(*len));
        (9, len.map_err(|_| garbage("an endless frame", bytes))?)
    };
    let end = header.checked_add(len).ok_or_else(|| garbage("an endless frame", bytes))?;
    Ok(bytes.get(header..end).map(|body| (flags, body, end)))
}

fn append_frame(out: &mut Vec<u8>, flags: u8, body: &[u8]) {
    match u8::try_from(body.len()) {
        Ok(len) => out.extend_from_slice(&[flags, len]),
        Err(_) => {
            out.push(flags | LONG);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(body);
}

/// The value of a property; names are compared without case.
fn property<'a>(mut properties: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    loop {
        let (len, rest) = properties.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*len))?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        properties = rest;
    }
}

/// Of a short name and a short value.
fn append_property(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(u8::try_from(name.len()).unwrap_or(0));
    out.extend_from_slice(name);
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(value);
}

fn complaint(body: &[u8]) -> io::Error {
    match body.strip_prefix(ERROR).and_then(|rest| rest.get(1..)) {
        Some(why) => io::Error::other(format!("it said: {}", String::from_utf8_lossy(why))),
        None => garbage("a message before it was ready", body),
    }
}

#[cfg(test)]
mod tests;
