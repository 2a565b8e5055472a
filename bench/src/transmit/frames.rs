//! The way of frames, where the peers are behind one interface that takes them.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use headcast_udp::{Lane, Outcome, Routes, Template, Way, Xdp};

/// Prepared frames to all peers.
pub(super) struct Frames {
    xdp: Xdp,
    lane: Lane,
}

impl Frames {
    pub(super) fn open(peers: &[SocketAddr], port: u16) -> Result<Self, Box<dyn Error>> {
        Xdp::probe()?;
        let mut routes = Routes::open()?;
        let ways: Option<Vec<Way>> = routes.look_up(peers, [port, port])?.into_iter().collect();
        let ways = ways.ok_or("not every peer has a next hop that is known, by Ethernet")?;
        let interface = ways.first().ok_or("no peers")?.interface;
        if ways.iter().any(|way| way.interface != interface) {
            return Err("the peers are behind several interfaces".into());
        }
        let template = |(peer, way): (&SocketAddr, &Way)| {
            Template::new(SocketAddr::new(way.source, port), *peer, &way.hop).ok_or("two families")
        };
        let templates = peers.iter().zip(&ways).map(template).collect::<Result<Vec<_>, _>>()?;
        let (_, queues) = routes.interface(interface).ok_or("the interface is gone")?;
        let xdp = Xdp::open(interface, queues, crate::SEND_BUFFER)?;
        Ok(Self { xdp, lane: Lane::new(templates) })
    }

    pub(super) fn send(&mut self, datagram: &[u8], messages: usize) -> io::Result<()> {
        for _ in 0..messages {
            self.lane.begin(true);
            let progress = self.lane.flush(&mut self.xdp, datagram);
            if progress.outcome != Outcome::Done || progress.sent != self.lane.len() {
                return Err(io::Error::other(format!("{progress:?}")));
            }
        }
        Ok(())
    }
}
