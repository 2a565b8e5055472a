//! The receivers: a subscription for each address, and one thread that asks them all in turn.

use std::io;
use std::time::Duration;

use headcast_bench::load::books::Arrivals;
use headcast_bench::load::part::{self, Task};
use rusteron_client::{Aeron, AeronFragmentClosureAssembler, AeronSubscription, Handlers};

use super::settings::Settings;
use super::{ANSWER, FRAME_HEADER, STREAM, Side, endpoint, failed, gathered, peers};

/// Fragments that one subscription hands over before it is the next one's turn.
const FRAGMENTS_MAX: usize = 64;

/// One receiver.
struct Receiver {
    subscription: AeronSubscription,
    /// Puts messages together again that are longer than a frame; nothing where there are none.
    assembler: Option<AeronFragmentClosureAssembler>,
}

/// Does less and less while nothing comes, as Aeron's own clients do: spins, lets others run, sleeps for longer and
/// longer.
struct Backoff {
    turns: u32,
    sleep: Duration,
    longest: Duration,
}

/// The receivers.
pub(crate) fn subscribe(task: &Task) -> io::Result<()> {
    // Before this thread is kept on one core, so that the client's own thread is not.
    let client = Side::Receivers.client(task)?;
    let settings = Settings::of(task)?;
    let mut receivers = receivers(task, &client, &settings)?;
    let mut backoff = Backoff::new(settings.longest_sleep);
    // A sleep ends when it should; by default it may end 50 us later, which is no part of Aeron.
    let _ = nix::sys::prctl::set_timerslack(1);
    let mut waited_for = true;
    part::subscribe_by(task, peers(task)?, |books| {
        let mut got = 0;
        for (at, receiver) in receivers.iter_mut().enumerate() {
            got += receiver.poll(&mut books.arrivals(at))?;
        }
        if got > 0 {
            backoff.reset();
            return Ok(());
        }
        if waited_for && receivers.iter().all(|receiver| receiver.subscription.is_connected()) {
            std::fs::write(gathered(task), "")?;
            waited_for = false;
        }
        backoff.wait();
        Ok(())
    })
}

fn receivers(task: &Task, client: &Aeron, settings: &Settings) -> io::Result<Vec<Receiver>> {
    let fragmented = task.pace.size > settings.mtu - FRAME_HEADER;
    let peers = peers(task)?;
    let mut adding = Vec::with_capacity(peers.len());
    // All are asked for before the first answer is waited for: an answer takes the client's thread some time.
    for peer in peers {
        let channel = endpoint(*peer)?;
        let asked = client.async_add_subscription(&channel, STREAM, Handlers::NONE, Handlers::NONE);
        adding.push(asked.map_err(|error| failed(&format!("the subscription at {peer}"), &error))?);
    }
    let receiver = |(adding, peer): (rusteron_client::AeronAsyncAddSubscription, _)| {
        let subscription = adding
            .poll_blocking(ANSWER)
            .map_err(|error| failed(&format!("the subscription at {peer}"), &error))?;
        let assembler = fragmented.then(AeronFragmentClosureAssembler::new).transpose();
        let assembler = assembler.map_err(|error| failed("an assembler of fragments", &error))?;
        Ok(Receiver { subscription, assembler })
    };
    adding.into_iter().zip(peers).map(receiver).collect()
}

impl Receiver {
    /// Takes what is there; returns how many fragments that was.
    fn poll(&mut self, arrivals: &mut Arrivals<'_>) -> io::Result<i32> {
        let Self { subscription, assembler } = self;
        let polled = match assembler {
            None => subscription.poll_fn(|payload, _| arrivals.take(payload), FRAGMENTS_MAX),
            Some(assembler) => assembler.poll(
                subscription,
                arrivals,
                |arrivals, payload, _| arrivals.take(payload),
                FRAGMENTS_MAX,
            ),
        };
        polled.map_err(|error| failed("a subscription", &error))
    }
}

impl Backoff {
    const SPINS: u32 = 10;
    const YIELDS: u32 = 20;
    const SHORTEST: Duration = Duration::from_micros(1);

    fn new(longest: Duration) -> Self {
        Self { turns: 0, sleep: Self::SHORTEST, longest }
    }

    fn reset(&mut self) {
        self.turns = 0;
        self.sleep = Self::SHORTEST;
    }

    fn wait(&mut self) {
        self.turns = self.turns.saturating_add(1);
        if self.turns <= Self::SPINS {
            std::hint::spin_loop();
        } else if self.turns <= Self::SPINS + Self::YIELDS || self.longest.is_zero() {
            std::thread::yield_now();
        } else {
            std::thread::sleep(self.sleep);
            self.sleep = (self.sleep * 2).min(self.longest);
        }
    }
}
