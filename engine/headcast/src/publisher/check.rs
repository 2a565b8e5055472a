//! What the settings of a publisher come to, and whether they can be.

use std::time::Duration;

use headcast_proto::HEADER_LEN;

use super::{Backlog, Builder, Mode, Sizes, mode};
use crate::error::BuildError;
use crate::ring::memory;
use crate::{affinity, limits};

impl Builder {
    /// Bytes that the ring and the queue will take. Long messages that wait in the queue take up to
    /// [`QUEUE_BYTES_MAX`](limits::QUEUE_BYTES_MAX) more while they do.
    #[must_use]
    pub fn memory(&self) -> usize {
        memory(self.ring.saturating_add(self.queue), self.payload_max())
    }

    /// What fits into a datagram, once the settings are known to be in their ranges.
    fn payload_max(&self) -> usize {
        self.datagram_max.saturating_sub(if self.raw { 0 } else { HEADER_LEN })
    }

    /// How long messages may be, once the settings are known to be in their ranges.
    pub(super) fn sizes(&self) -> Sizes {
        if self.raw {
            return Sizes::whole(self.payload_max());
        }
        // To block is to wait while a message is cut; to drop one it must be there whole.
        let ring = (self.backlog != Backlog::Block).then_some(self.ring);
        Sizes::cut(self.payload_max(), self.message_max, ring)
    }

    /// The mode, and how many copies it sends.
    pub(super) fn resolve_mode(&self) -> Result<(Mode, usize), BuildError> {
        mode::resolve(self.mode, self.copies, self.raw).map_err(BuildError::Setting)
    }

    /// The share of repairs in thousandths, once it is known to be in its range.
    pub(super) fn share_permille(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
        let permille = (self.repair_share * 10.0).round() as u32;
        permille
    }

    /// Whether all settings are within their ranges, without taking anything yet; [`build`](Self::build) asks
    /// as well.
    ///
    /// # Errors
    /// [`BuildError::Setting`] for the first that is not.
    pub fn check(&self) -> Result<(), BuildError> {
        let wrong = |what: String| Err(BuildError::Setting(what));
        self.resolve_mode()?;
        if self.spacing > Duration::from_secs(60) {
            return wrong(format!("a spacing of {:?} is too long: at most 60 s", self.spacing));
        }
        let datagram_min = if self.raw { 1 } else { HEADER_LEN + 1 };
        if !(datagram_min..=limits::DATAGRAM_MAX).contains(&self.datagram_max) {
            let (given, most) = (self.datagram_max, limits::DATAGRAM_MAX);
            return wrong(format!(
                "a datagram of {given} bytes is not possible: {datagram_min} to {most} are"
            ));
        }
        if !(1..=limits::MESSAGE_MAX).contains(&self.message_max) {
            let (given, most) = (self.message_max, limits::MESSAGE_MAX);
            return wrong(format!("a longest message of {given} bytes is not possible: 1 to {most} are"));
        }
        if !self.ring.is_power_of_two() || !(16..=limits::RING_MAX).contains(&self.ring) {
            let (given, most) = (self.ring, limits::RING_MAX);
            return wrong(format!(
                "a ring of {given} datagrams is not possible: a power of two from 16 to {most} is"
            ));
        }
        if !(1..=limits::RING_MAX).contains(&self.queue) {
            return wrong(format!(
                "a queue of {} messages is not possible: 1 to {} are",
                self.queue,
                limits::RING_MAX
            ));
        }
        if !(0.0..=100.0).contains(&self.repair_share) {
            return wrong(format!(
                "a share of {} % for repairs is not possible: 0 to 100 are",
                self.repair_share
            ));
        }
        if self.repair_interval > Duration::from_secs(1) {
            return wrong(format!("{:?} between two repairs is too long: at most 1 s", self.repair_interval));
        }
        if !(1..=limits::PEERS_MAX).contains(&self.limits.max_peers) {
            let (given, most) = (self.limits.max_peers, limits::PEERS_MAX);
            return wrong(format!("at most {given} peers are not possible: 1 to {most} are"));
        }
        if !(1..=headcast_udp::CALL_MAX).contains(&self.send_batch) {
            let (given, most) = (self.send_batch, headcast_udp::CALL_MAX);
            return wrong(format!("{given} datagrams a call are not possible: 1 to {most} are"));
        }
        if self.pass_max.is_zero() || self.pass_max > Duration::from_secs(1) {
            return wrong(format!(
                "a longest pass of {:?} is not possible: more than 0 and up to 1 s is",
                self.pass_max
            ));
        }
        if let Some(core) = self.pin
            && !affinity::allowed(core)
        {
            return wrong(format!("core {core} is not one that this process may run on"));
        }
        Ok(())
    }
}
