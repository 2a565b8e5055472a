//! `headcast publish`: the messages of a person, a file or a pipe, to every pod.

use std::io::{BufRead as _, Read as _, Write as _};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use headcast::peers::Stop;
use headcast::{Handle, PublishError, Publisher};

use crate::args::Publish;
use crate::failure::Failure;
use crate::{report, signals, target};

pub(crate) fn run(args: &Publish) -> Result<(), Failure> {
    let signals = signals::catch()?;
    let mut producer = Producer::new(args)?;
    let builder = target::publisher(&args.target, &args.sending)?;
    builder.check()?;
    tracing::info!(bytes = builder.memory(), "taking memory for the ring and the queue");
    let mut publisher = builder.build()?;
    producer.check(&publisher)?;
    producer.line_max = publisher.message_max() + 2;
    tracing::info!(
        capabilities = %publisher.capabilities(),
        mode = %publisher.mode(),
        publisher = publisher.id(),
        "ready"
    );
    let stop = Stop::new();
    let handle = publisher.handle();
    let at_signal = (handle.clone(), stop.clone());
    signals.on_stop(move || {
        at_signal.1.stop();
        at_signal.0.stop();
    })?;
    publisher.wait_for_peers(args.wait).map_err(Failure::new)?;

    let started = report::now();
    report::watch_failures(publisher.monitor(), stop.clone())
        .map_err(Failure::about("cannot start a thread"))?;

    let (done, outcome) = channel();
    std::thread::Builder::new()
        .name("headcast-messages".into())
        .spawn(move || producer.run(&handle, &stop, &done))
        .map_err(Failure::about("cannot start a thread"))?;
    publisher.run().map_err(Failure::about("cannot send"))?;
    let unsent = publisher.close(args.sending.drain).map_err(Failure::about("cannot send"))?;

    finish(args, &publisher, started.elapsed(), unsent)?;
    // Nothing there: a signal came first, and the thread may wait for standard input for ever.
    outcome.try_recv().unwrap_or(Ok(()))
}

fn finish(args: &Publish, publisher: &Publisher, elapsed: Duration, unsent: usize) -> Result<(), Failure> {
    let totals = report::totals(publisher, elapsed, unsent);
    if args.json {
        writeln!(std::io::stdout(), "{totals}").map_err(Failure::about("standard output"))?;
    }
    let counters = publisher.counters();
    let sent = counters.sent_first.get();
    tracing::info!(
        messages = counters.messages.get(),
        peers = publisher.peers(),
        datagrams = sent + counters.sent_later.get(),
        "done"
    );
    if unsent > 0 {
        let drain = humantime::format_duration(args.sending.drain);
        return Err(Failure::new(format!(
            "{unsent} datagrams had not gone out in all their copies {drain} after the end (--drain)"
        )));
    }
    if sent == 0 && counters.messages.get() > 0 {
        let failures = publisher.monitor().failures();
        let why = failures.first().map_or_else(
            || "there was no peer".to_owned(),
            |failure| format!("{}: {}", failure.peer, failure.errno.desc()),
        );
        return Err(Failure::new(format!("no message could be sent to anybody; {why}")));
    }
    Ok(())
}

/// What decides how long a message may be.
const LENGTH_OPTIONS: &str = "--message-max, --datagram-max";

/// Where the messages come from, and how fast.
struct Producer {
    content: Content,
    interval: Option<Duration>,
    /// Bytes of the longest line, with its end, and one more.
    line_max: usize,
}

enum Content {
    /// One message, this many times; 0 is without end.
    Again(Vec<u8>, u64),
    Lines,
}

impl Producer {
    fn new(args: &Publish) -> Result<Self, Failure> {
        let content = match (&args.message, &args.file) {
            (Some(text), _) => Content::Again(text.clone().into_bytes(), args.repeat),
            (None, Some(file)) => {
                let bytes = std::fs::read(file).map_err(Failure::about(file.display()))?;
                Content::Again(bytes, args.repeat)
            }
            (None, None) => Content::Lines,
        };
        let interval = args.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        Ok(Self { content, interval, line_max: 0 })
    }

    /// Refuses a message that is too long before anything is sent.
    fn check(&self, publisher: &Publisher) -> Result<(), Failure> {
        match &self.content {
            Content::Again(bytes, _) if bytes.len() > publisher.message_max() => {
                let error = PublishError::TooLong { len: bytes.len(), max: publisher.message_max() };
                Err(Failure::new(format!("{error} ({LENGTH_OPTIONS})")))
            }
            _ => Ok(()),
        }
    }

    fn run(self, handle: &Handle, stop: &Stop, done: &Sender<Result<(), Failure>>) {
        let result = self.produce(handle, stop);
        // The other end is gone only if the program is ending.
        let _ = done.send(result);
        stop.stop();
        handle.stop();
    }

    fn produce(self, handle: &Handle, stop: &Stop) -> Result<(), Failure> {
        let mut pace = Pace { next: report::now(), interval: self.interval };
        match self.content {
            Content::Again(bytes, times) => {
                let mut sent = 0;
                while (times == 0 || sent < times) && pace.wait(stop) {
                    if !hand_over(handle, &bytes).map_err(Failure::new)? {
                        break;
                    }
                    sent += 1;
                }
                Ok(())
            }
            Content::Lines => {
                let mut input = std::io::stdin().lock();
                let mut line = Vec::new();
                for number in 1u64.. {
                    line.clear();
                    // A line that is too long is read as far as it takes to see that.
                    let mut input = (&mut input).take(self.line_max as u64);
                    let read =
                        input.read_until(b'\n', &mut line).map_err(Failure::about("standard input"))?;
                    // A pause of the input is not made up for: the rate is a maximum.
                    pace.next = pace.next.max(report::now());
                    if read == 0 || !pace.wait(stop) {
                        break;
                    }
                    if line.last() == Some(&b'\n') {
                        line.pop();
                    }
                    if line.len() > self.line_max - 2 {
                        let most = self.line_max - 2;
                        return Err(Failure::new(format!(
                            "standard input, line {number}: longer than {most} bytes, which is the longest message ({LENGTH_OPTIONS})"
                        )));
                    }
                    let went_on = hand_over(handle, &line).map_err(|error| {
                        Failure::new(format!("standard input, line {number}: {error} ({LENGTH_OPTIONS})"))
                    })?;
                    if !went_on {
                        break;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Hands one message over; returns whether to go on.
fn hand_over(handle: &Handle, message: &[u8]) -> Result<bool, PublishError> {
    match handle.publish(message) {
        // What the policy drops is counted, and no reason to stop.
        Ok(()) | Err(PublishError::Full) => Ok(true),
        Err(PublishError::Closed) => Ok(false),
        Err(error) => Err(error),
    }
}

/// An absolute schedule: being late once does not make everything after it late.
struct Pace {
    next: Instant,
    interval: Option<Duration>,
}

impl Pace {
    /// Waits until the next message is due; returns false if stopped meanwhile.
    fn wait(&mut self, stop: &Stop) -> bool {
        let Some(interval) = self.interval else { return !stop.is_stopped() };
        let wait = self.next.saturating_duration_since(report::now());
        self.next += interval;
        if wait.is_zero() { !stop.is_stopped() } else { !stop.wait(wait) }
    }
}
