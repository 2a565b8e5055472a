//! The sender.

use std::io;
use std::time::Duration;

use headcast::clock::{mono_ns, nanos};
use headcast_bench::load::Transport;
use headcast_bench::load::part::{self, Task};
use rusteron_client::{Aeron, AeronExclusivePublication, AeronOfferError, AeronSystemCounterType as Counter};

use super::settings::Settings;
use super::{ANSWER, STREAM, Side, c_string, endpoint, failed, gathered, late, peers};

/// So long for all receivers to have the stream.
const GATHER: Duration = Duration::from_secs(15);
/// Between two looks whether they have.
const LOOK: Duration = Duration::from_millis(1);
/// A message that finds no room for so long is not sent.
const PATIENCE: Duration = Duration::from_secs(1);
/// Tries without a pause; then others get the core between two of them.
const SPINS: u32 = 100;

/// What the driver counts and a run is judged by.
const COUNTERS: [(Counter, &str); 5] = [
    (Counter::NakMessagesReceived, "naks_received"),
    (Counter::RetransmitsSent, "retransmits_sent"),
    (Counter::ShortSends, "short_sends"),
    (Counter::SenderFlowControlLimits, "flow_control_limits"),
    (Counter::Errors, "errors"),
];

struct Publisher {
    publication: AeronExclusivePublication,
    client: Aeron,
    /// Messages that found no room at first.
    waited: u64,
    refused: u64,
}

/// The sender.
pub(crate) fn publish(task: &Task) -> io::Result<()> {
    // Before this thread is kept on one core, so that the client's own thread is not.
    let client = Side::Sender.client(task)?;
    let channel = c_string(Settings::of(task)?.channel())?;
    let publication = client
        .async_add_exclusive_publication(&channel, STREAM)
        .and_then(|adding| adding.poll_blocking(ANSWER))
        .map_err(|error| failed(&format!("the publication {}", channel.to_string_lossy()), &error))?;
    let publisher = Publisher { publication, client, waited: 0, refused: 0 };
    publisher.add_destinations(task)?;
    publisher.gather(task)?;
    part::publish(task, publisher)
}

impl Publisher {
    fn add_destinations(&self, task: &Task) -> io::Result<()> {
        // All are asked for before the first answer is waited for: an answer takes the client's thread some time.
        let mut adding = Vec::with_capacity(task.receivers);
        for peer in peers(task)? {
            let destination = endpoint(*peer)?;
            let asked = self.publication.async_add_destination(&self.client, &destination);
            adding.push(asked.map_err(|error| failed(&format!("the destination {peer}"), &error))?);
        }
        let deadline_ns = mono_ns().saturating_add(nanos(ANSWER));
        for (adding, peer) in adding.iter().zip(&task.peers) {
            let done = || adding.aeron_exclusive_publication_async_destination_poll();
            while done().map_err(|error| failed(&format!("the destination {peer}"), &error))? == 0 {
                if mono_ns() > deadline_ns {
                    return Err(late(format!("the destination {peer} was not added within {ANSWER:?}")));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// Waits until every receiver has the stream. Aeron itself says no more than that one has.
    fn gather(&self, task: &Task) -> io::Result<()> {
        let gathered = gathered(task);
        let deadline_ns = mono_ns().saturating_add(nanos(GATHER));
        while !(gathered.exists() && self.publication.is_connected()) {
            if mono_ns() > deadline_ns {
                let connected = if self.publication.is_connected() { "some" } else { "none" };
                return Err(late(format!(
                    "of {} receivers {connected} had the stream within {GATHER:?}",
                    task.receivers
                )));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Tries again while there is no room; `false` when there was none for too long.
    #[cold]
    fn retry(&mut self, payload: &[u8], first: &AeronOfferError) -> io::Result<bool> {
        judge(first)?;
        self.waited += 1;
        let deadline_ns = mono_ns().saturating_add(nanos(PATIENCE));
        let mut turns = 0;
        while mono_ns() <= deadline_ns {
            match self.publication.offer(payload) {
                Ok(_) => return Ok(true),
                Err(error) => judge(&error)?,
            }
            if turns < SPINS {
                turns += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        self.refused += 1;
        Ok(false)
    }
}

/// Whether it is worth another try.
fn judge(error: &AeronOfferError) -> io::Result<()> {
    match error {
        // There is no room, or the log is being rotated.
        AeronOfferError::BackPressured | AeronOfferError::AdminAction => Ok(()),
        AeronOfferError::NotConnected => {
            Err(io::Error::new(io::ErrorKind::NotConnected, "aeron: no receiver is connected any more"))
        }
        error => Err(io::Error::other(format!("aeron does not take the message: {error}"))),
    }
}

impl Transport for Publisher {
    fn send(&mut self, payload: &[u8]) -> io::Result<bool> {
        match self.publication.offer(payload) {
            Ok(_) => Ok(true),
            Err(error) => self.retry(payload, &error),
        }
    }

    fn finish(&mut self, wait: Duration) -> io::Result<()> {
        // The driver does what is left.
        std::thread::sleep(wait);
        Ok(())
    }

    fn counters(&self) -> Vec<(String, u64)> {
        let mut counters = vec![("waited".into(), self.waited), ("refused".into(), self.refused)];
        let reader = self.client.counters_reader();
        for (counter, name) in COUNTERS {
            // Their numbers are those of the first counters that there are.
            let value = reader.get_counter_value(counter as i32).unwrap_or(0);
            counters.push((name.into(), u64::try_from(value).unwrap_or(0)));
        }
        counters
    }
}
