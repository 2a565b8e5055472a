//! Who the recorders are.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use headcast_peers::{Outcome, Stop, Watcher};

use super::Shared;
use crate::clock;

/// The recorders' addresses, as they were known last.
#[derive(Default)]
pub(super) struct Recorders {
    addresses: Mutex<Arc<[SocketAddr]>>,
    /// Changes with them.
    version: AtomicU64,
}

impl Recorders {
    /// Rises whenever the addresses change; 0 before anything is known.
    pub(super) fn version(&self) -> u64 {
        self.version.load(SeqCst)
    }

    pub(super) fn addresses(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.addresses.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, addresses: Arc<[SocketAddr]>) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
        self.version.fetch_add(1, SeqCst);
    }
}

/// Asks again and again who the recorders are, until stopped.
pub(super) fn find(mut watcher: Watcher, stop: &Stop, shared: &Shared) {
    let mut said = None;
    while !stop.is_stopped() {
        let report = watcher.refresh(clock::instant(), stop);
        // A recorder that is not ready is not in DNS, and yet most likely where it was.
        if report.changed && !watcher.peers().is_empty() {
            let addresses: Arc<[SocketAddr]> = watcher.peers().as_slice().into();
            tracing::info!(recorders = ?addresses, "responses go there");
            shared.recorders.set(addresses);
            // The eventfd behind it exists as long as the thread.
            let _ = shared.bell.wake();
        }
        let trouble = match &report.outcome {
            Outcome::Fresh | Outcome::Unchanged => None,
            other => Some(other.to_string()),
        };
        if let Some(trouble) = trouble.as_ref().filter(|trouble| said.as_ref() != Some(*trouble)) {
            let known = shared.recorders.addresses().len();
            tracing::warn!(known, "cannot learn who the recorder is: {trouble}");
        }
        said = trouble;
        if stop.wait(report.next) {
            return;
        }
    }
}
