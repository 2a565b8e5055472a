//! Puts the set together that the data thread is to use next: whenever the peers change, or the ways to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headcast_peers::PeerSet;
use headcast_peers::handoff::Offer;

use super::{Latest, Shared};
use crate::control::ways::{Found, Ways};
use crate::egress::{Fanout, Frames, Plan};
use crate::queue::Queue;

/// Shared by the threads that notice changes; the data thread knows nothing of it.
#[derive(Clone)]
pub(super) struct Assembler(Arc<Mutex<Inner>>);

pub(super) struct Inner {
    offer: Offer<Fanout>,
    plan: Plan,
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    peers: PeerSet,
    /// Of the peers; 0 is the data thread's, that knows nobody.
    generation: u64,
    /// What finds the ways for frames, if there may be any.
    pub(super) ways: Option<Ways>,
}

impl Assembler {
    pub(super) fn new(
        offer: Offer<Fanout>,
        plan: Plan,
        queue: Arc<Queue>,
        shared: Arc<Shared>,
        ways: Option<Ways>,
    ) -> Self {
        let peers = PeerSet::default();
        Self(Arc::new(Mutex::new(Inner { offer, plan, queue, shared, peers, generation: 0, ways })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in between leaves a set that was not offered, and the next change makes another.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Prepares for these peers and passes that over.
    pub(super) fn offer(&mut self, peers: &PeerSet) {
        self.peers = peers.clone();
        self.generation += 1;
        if let Some(ways) = &mut self.ways {
            ways.find(&self.peers);
        }
        self.offer_found();
    }

    /// Looks for the ways again, if anything `is_told`, and for the socket, if it is missing; passes over what has
    /// changed, and returns whether anything has.
    pub(super) fn look_again(&mut self, is_told: bool) -> bool {
        let Some(ways) = &mut self.ways else { return false };
        let mut changed = (is_told || ways.is_to_be_retried()) && ways.find(&self.peers);
        changed |= ways.retry();
        if changed {
            self.offer_found();
        }
        changed
    }

    fn offer_found(&mut self) {
        // What was offered last was taken, or comes back here.
        let spare = self.offer.take_back();
        self.offer.collect();
        let frames = self.ways.as_mut().and_then(|ways| {
            let spare = spare.map(|fanout| fanout.into_xdp());
            let Found { templates, interface, xdp, failed } = ways.settle(&self.peers, spare)?;
            Some(Frames::new(&self.peers, &templates, self.plan, interface, xdp, failed))
        });
        let mut fanout = Fanout::new(&self.peers, self.generation, self.plan, frames);
        if let Some(error) = self.ways.as_ref().and_then(Ways::refused) {
            fanout.refuse(error);
        }
        {
            let mut latest = self.shared.latest();
            let Latest { peers, others, frames, .. } = &mut *latest;
            *peers = fanout.peers().map(Some);
            *others = fanout.others().map_or_else(Default::default, |others| others.map(Some));
            *frames = self.ways.as_ref().and_then(Ways::lane);
        }
        self.offer.offer(Box::new(fanout));
        self.wake();
    }

    /// Frees what the data thread has given back.
    pub(super) fn collect(&mut self) {
        self.offer.collect();
    }

    /// Wakes the data thread.
    pub(super) fn wake(&self) {
        // The eventfd lives as long as the queue.
        let _ = self.queue.wake();
    }
}
