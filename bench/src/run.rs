//! One run at a fixed rate: an open loop, to receivers of its own or to whoever is behind a name.

mod meter;
mod options;
mod table;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use headcast::PublisherBuilder;
use indicatif::{ProgressBar, ProgressStyle};

use meter::Meter;
pub use options::Options;
pub(crate) use options::mode;

use crate::load::books::Expected;
use crate::load::drops::Drops;
use crate::load::health::Watch;
use crate::load::outcome::{Received, SCHEMA, Settings};
use crate::load::{Audience, Machine, Outcome, Pace, Paced, Transport, pin};
use crate::systems::headcast as system;

/// How long what is left to send is seen to, at a time.
const LOOK: Duration = Duration::from_millis(5);
/// Within so long of a message its copies have gone out.
const LAST_COPIES: Duration = Duration::from_millis(25);
/// Within so long of a message nobody asks for it any more.
const LAST_REPAIRS: Duration = Duration::from_millis(500);

/// Runs it.
///
/// # Errors
/// Options that do not go together ([`Usage`](crate::Usage)); when a socket cannot be had, or there is nobody behind
/// the name.
pub fn run(options: &Options) -> Result<Outcome, Box<dyn Error>> {
    options.check()?;
    let progress = Progress::start(options);
    let outcome = step(options);
    progress.finish();
    outcome
}

/// Runs it without a progress bar, for whoever shows one of its own.
///
/// # Errors
/// As [`run`].
pub(crate) fn step(options: &Options) -> Result<Outcome, Box<dyn Error>> {
    options.check()?;
    let pace =
        Pace::lasting(options.rate, options.warm_up, options.duration, options.size, getrandom::u32()?);
    match &options.to {
        Some(to) => one_way(options, to, pace),
        None => to_ourselves(options, pace),
    }
}

/// To receivers that are not ours: only what leaves is seen.
fn one_way(options: &Options, to: &str, pace: Pace) -> Result<Outcome, Box<dyn Error>> {
    let mut sender = sender(options.publisher(pace.run).source(options.source(to)?))?;
    measure(options, pace, &mut sender, None, |sender, _| {
        finish(sender, LAST_REPAIRS)?;
        Ok(None)
    })
}

/// To receivers on a thread of ours.
fn to_ourselves(options: &Options, pace: Pace) -> Result<Outcome, Box<dyn Error>> {
    let mut subscribers = Vec::with_capacity(options.receivers);
    for _ in 0..options.receivers {
        let builder = headcast::Subscriber::builder()
            .listen((Ipv4Addr::LOCALHOST, 0).into())
            .raw(options.raw)
            .publishers(2)
            .receive_buffer(options.receive_buffer);
        subscribers.push(builder.build()?);
    }
    let address = |subscriber: &headcast::Subscriber| subscriber.local_addr();
    let mut subscribers =
        subscribers.into_iter().map(|one| Ok((address(&one)?, one))).collect::<std::io::Result<Vec<_>>>()?;
    // As the publisher has them: what is said of a position is said of its order.
    subscribers.sort_by_key(|(address, _)| *address);
    let (addresses, subscribers): (Vec<SocketAddr>, Vec<_>) = subscribers.into_iter().unzip();
    let readers = subscribers.into_iter().map(system::Subscriber::new).collect();

    let expected = Expected { run: pace.run, messages: pace.messages, warm_up: pace.warm_up };
    let audience = Audience::new(readers, expected)?;
    let control = audience.control();
    let core = options.cores.0.map(|[_, core]| core);
    let thread = std::thread::Builder::new().name("receivers".into()).spawn(move || {
        core.map_or(Ok(()), pin::pin)?;
        audience.receive()
    })?;
    let outcome = sender(options.publisher(pace.run).peers(addresses)).and_then(|mut sender| {
        let meter = Meter::start(core)?;
        measure(options, pace, &mut sender, Some(meter), |sender, paced| {
            control.finish(paced.sent);
            while !thread.is_finished() {
                sender.finish(LOOK)?;
            }
            // Everything has come, but the last copies have not gone out yet, and belong to what it costs.
            finish(sender, LAST_COPIES)?;
            Ok(Some(thread.join().map_err(|_| "the receivers' thread has failed")??))
        })
    });
    // Whatever went wrong: nobody is left behind who waits.
    control.finish(0);
    outcome
}

/// A sender that knows whom to send to.
fn sender(builder: PublisherBuilder) -> Result<system::Publisher, Box<dyn Error>> {
    let mut publisher = builder.build()?;
    publisher.wait_for_peers(crate::PEERS_TIMEOUT)?;
    Ok(system::Publisher::new(publisher))
}

/// Sends, waits by `drain` until everything has come, and puts together what there is to say; `meter` is on the
/// receivers' side, where that is ours.
fn measure<T: Transport>(
    options: &Options,
    pace: Pace,
    sender: &mut T,
    meter: Option<Meter>,
    drain: impl FnOnce(&mut T, &Paced) -> Result<Option<Received>, Box<dyn Error>>,
) -> Result<Outcome, Box<dyn Error>> {
    let cores = options.cores.0;
    let pinned = cores.map(|[core, _]| pin::pinned(core)).transpose()?;
    let (drops, watch) = (Drops::now(), Watch::start());
    let sent = pace.play(sender)?;
    let mut health = watch.end(&sent);
    let received = drain(sender, &sent)?;
    health.pauses = meter.map(Meter::end).transpose()?;
    drop(pinned);
    let mut complaints = health.complaints(&sent, pace.rate);
    let closed =
        received.iter().flat_map(|received| &received.receivers).filter_map(|one| one.closed.as_ref());
    complaints.extend(closed.map(|why| format!("a receiver has failed: {why}")));
    Ok(Outcome {
        schema: SCHEMA,
        settings: Settings {
            system: "headcast".into(),
            variant: options.variant(),
            to: options.to.clone(),
            receivers: if options.to.is_some() { 0 } else { options.receivers },
            size: options.size,
            rate: options.rate,
            warm_up_s: options.warm_up.as_secs_f64(),
            duration_s: options.duration.as_secs_f64(),
            cores,
        },
        machine: Machine::this(),
        complaints,
        counters: sender.counters().into_iter().collect(),
        sent,
        received,
        drops: Drops::now().since(drops),
        health,
    })
}

fn finish(sender: &mut impl Transport, time: Duration) -> std::io::Result<()> {
    let end = crate::clock::now() + time;
    while crate::clock::now() < end {
        sender.finish(LOOK)?;
    }
    Ok(())
}

/// How much of the run is over, on a terminal.
struct Progress(ProgressBar);

impl Progress {
    fn start(options: &Options) -> Self {
        let all = options.warm_up.saturating_add(options.duration);
        let bar = ProgressBar::new(u64::try_from(all.as_millis()).unwrap_or(u64::MAX))
            .with_style(ProgressStyle::with_template("[{bar:30}] {msg}").expect("a valid template"));
        bar.set_message(format!("{} messages/s for {}", options.rate, humantime::format_duration(all)));
        if !bar.is_hidden() {
            let shown = bar.clone();
            // Ends with the bar; a thread of its own, so that the sender never draws.
            std::thread::spawn(move || {
                let start = crate::clock::now();
                while !shown.is_finished() {
                    shown.set_position(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
                    std::thread::sleep(Duration::from_millis(200));
                }
            });
        }
        Self(bar)
    }

    fn finish(self) {
        self.0.finish_and_clear();
    }
}
