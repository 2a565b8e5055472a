//! ZeroMQ: `libzmq` as it comes with the distribution sends; the receivers read its protocol themselves.
//!
//! The sender is an XPUB socket, which is what a PUB socket is built on: the same way to the subscribers, with their
//! subscriptions to be read beside it. So it is known when all are there. The library's own thread writes to the
//! connections; it is left to the scheduler.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use headcast::clock::{mono_ns, nanos};
use headcast_bench::load::Transport;
use headcast_bench::load::part::{self, Task};
use headcast_bench::systems::zmtp::Subscriber;

use crate::invalid;

/// So long for all subscribers to come.
const GATHER: Duration = Duration::from_secs(10);
/// So long for the sender to listen.
const CONNECT: Duration = Duration::from_secs(5);
/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(20);
/// Messages that wait for one subscriber at most; what is more is dropped, as a PUB socket does. A hundred times the
/// library's usual number: a second's load, and still bounded.
const WAITING_MAX: i32 = 100_000;

/// Of the library that is linked.
pub(crate) fn version() -> String {
    let (major, minor, patch) = zmq::version();
    format!("{major}.{minor}.{patch}")
}

struct Publisher {
    socket: zmq::Socket,
    refused: u64,
}

/// The sender.
pub(crate) fn publish(task: &Task) -> io::Result<()> {
    // Before this thread is kept on one core, so that the library's thread is not.
    let publisher = Publisher::bind(task)?;
    publisher.gather(task.receivers)?;
    part::publish(task, publisher)
}

/// The receivers.
pub(crate) fn subscribe(task: &Task) -> io::Result<()> {
    let server = server(task)?;
    let deadline_ns = after(CONNECT);
    let connect = || loop {
        match Subscriber::connect(server) {
            // It is started at the same time as we are.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && mono_ns() < deadline_ns => {
                std::thread::sleep(RETRY);
            }
            connected => return connected,
        }
    };
    let readers = std::iter::repeat_with(connect).take(task.receivers).collect::<io::Result<Vec<_>>>()?;
    part::subscribe(task, &[], readers)
}

impl Publisher {
    fn bind(task: &Task) -> io::Result<Self> {
        let server = server(task)?;
        // It has one thread of its own, which is what the library's guide says up to a gigabyte a second.
        let socket = zmq::Context::new().socket(zmq::XPUB)?;
        // Every subscription, not only the first one to a topic.
        socket.set_xpub_verbose(true)?;
        socket.set_sndhwm(WAITING_MAX)?;
        // What is unsent at the end stays unsent.
        socket.set_linger(0)?;
        socket
            .bind(&format!("tcp://{server}"))
            .map_err(|error| io::Error::other(format!("cannot listen at {server}: {error}")))?;
        Ok(Self { socket, refused: 0 })
    }

    /// Waits until so many have subscribed to everything.
    fn gather(&self, receivers: usize) -> io::Result<()> {
        let deadline_ns = after(GATHER);
        let mut subscribed = 0;
        while subscribed < receivers {
            let left_ms = deadline_ns.saturating_sub(mono_ns()) / 1_000_000;
            let wait_ms = i64::try_from(left_ms).unwrap_or(i64::MAX);
            if self.socket.poll(zmq::POLLIN, wait_ms)? == 0 {
                let text = format!("{subscribed} of {receivers} subscribers came within {GATHER:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            // 1 is a subscription, 0 its end; the topic follows.
            match self.socket.recv_bytes(zmq::DONTWAIT)?.first() {
                Some(1) => subscribed += 1,
                Some(0) => return Err(io::Error::other("a subscriber left before the run")),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Transport for Publisher {
    fn send(&mut self, payload: &[u8]) -> io::Result<bool> {
        match self.socket.send(payload, zmq::DONTWAIT) {
            Ok(()) => Ok(true),
            Err(zmq::Error::EAGAIN) => {
                self.refused += 1;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn finish(&mut self, wait: Duration) -> io::Result<()> {
        // The library's thread does what is left.
        std::thread::sleep(wait);
        Ok(())
    }

    fn counters(&self) -> Vec<(String, u64)> {
        vec![("refused".into(), self.refused)]
    }
}

fn server(task: &Task) -> io::Result<SocketAddr> {
    task.server.ok_or_else(|| invalid("zeromq needs the address that its sender listens at (server)".into()))
}

fn after(time: Duration) -> u64 {
    mono_ns().saturating_add(nanos(time))
}
