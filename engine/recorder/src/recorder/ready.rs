//! Readiness for whoever asks over TCP, such as a probe of Kubernetes: who can connect knows that
//! responses are being stored.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};

/// The most that are let go of in one turn.
const ACCEPTS_MAX: usize = 64;

/// A port that is open while the recorder is ready, and closed otherwise.
pub(super) struct Ready {
    address: SocketAddr,
    listener: Option<TcpListener>,
}

impl Ready {
    /// Tries the address, so that a wrong one is told at the start. A port of 0 is drawn once. One that another process
    /// has may be that of the recorder which this one stands by for.
    pub(super) fn new(address: SocketAddr) -> io::Result<Self> {
        let address = match TcpListener::bind(address).and_then(|listener| listener.local_addr()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => address,
            tried => tried?,
        };
        Ok(Self { address, listener: None })
    }

    pub(super) fn is_open(&self) -> bool {
        self.listener.is_some()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens the port.
    pub(super) fn open(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if self.listener.is_none() {
            let mut listener = TcpListener::bind(self.address)?;
            registry.register(&mut listener, token, Interest::READABLE)?;
            self.listener = Some(listener);
        }
        Ok(())
    }

    /// Closes it: the kernel refuses connections from now on.
    pub(super) fn close(&mut self) {
        self.listener = None;
    }

    /// Lets go of those who have connected: that they could is the answer. Of a flood some wait for the next probe.
    pub(super) fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let _ = (0..ACCEPTS_MAX).find(|_| listener.accept().is_err());
    }
}
