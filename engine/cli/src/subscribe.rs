//! `headcast subscribe`: receives, and prints or hands on each message once.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use headcast::{Event, Message, Subscriber};
use mio::{Events, Interest, Poll, Token, Waker};
use serde_json::{Value, json};

use crate::args::{Output, Subscribe};
use crate::failure::Failure;
use crate::forward::Forward;
use crate::{report, signals};

const SOCKET: Token = Token(0);
const STOP: Token = Token(1);

/// Messages between two looks at the clock and at signals: under load there is always one more.
const MESSAGES_MAX: usize = 1024;
/// How often losses are logged.
const LOSSES_EVERY: Duration = Duration::from_secs(1);
/// How many times as many may be left at the end: more than any socket's buffer holds.
const REST_MAX: usize = 1024;

pub(crate) fn run(args: &Subscribe) -> Result<(), Failure> {
    let signals = signals::catch()?;
    let delivery = &args.delivery;
    let mut builder = Subscriber::builder()
        .listen(args.listen)
        .raw(args.raw)
        .streams(args.streams.0.iter().copied())
        .publishers(args.publishers)
        .window(args.window)
        .receive_buffer(args.receive_buffer)
        .repair(!delivery.no_repair)
        .history(delivery.history)
        .message_max(delivery.message_max)
        .memory(delivery.memory, delivery.memory / 4);
    if delivery.ordered {
        builder = builder.ordered(delivery.max_hold);
    }
    let mut subscriber = builder.build()?;
    let mut sink = Sink::open(args)?;
    let poll = Poll::new().map_err(Failure::about("cannot start the event loop"))?;
    let watch = |result: io::Result<()>| result.map_err(Failure::about("cannot watch the socket"));
    watch(poll.registry().register(&mut subscriber, SOCKET, Interest::READABLE))?;
    let waker = Waker::new(poll.registry(), STOP).map_err(Failure::about("cannot start the event loop"))?;
    let stopping = Arc::new(AtomicBool::new(false));
    let at_signal = Arc::clone(&stopping);
    signals.on_stop(move || {
        at_signal.store(true, SeqCst);
        // The poll is there as long as the program.
        let _ = waker.wake();
    })?;
    tracing::info!(
        listen = subscriber.local_addr().ok().map(tracing::field::display),
        capabilities = %subscriber.capabilities(),
        "ready"
    );

    let mut receiving = Receiving {
        left: args.count,
        deadline: args.timeout.and_then(|timeout| report::now().checked_add(timeout)),
        linger: args.linger,
        stopping,
        lingering: false,
        losses: Losses::default(),
    };
    let result = receiving.run(poll, &mut subscriber, &mut sink);
    let totals = totals(&subscriber, &sink);
    tracing::info!(%totals, "done");
    match result.and_then(|()| sink.finish(&totals)) {
        // Whoever read our output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(format!("cannot go on: {error}"))),
        Ok(()) => receiving.verdict(args),
    }
}

/// When to end.
struct Receiving {
    left: Option<u64>,
    deadline: Option<Instant>,
    linger: Duration,
    stopping: Arc<AtomicBool>,
    lingering: bool,
    losses: Losses,
}

/// What becomes of publishers goes to the log; gaps at most once a second, summed up.
#[derive(Default)]
struct Losses {
    gaps: u64,
    lost: u64,
    logged: Option<Instant>,
}

impl Losses {
    fn log(&mut self, event: &Event<'_>) {
        match event {
            Event::Gap { from, to, .. } => {
                self.gaps += 1;
                self.lost += to - from + 1;
                let now = report::now();
                if self.logged.is_none_or(|logged| now - logged >= LOSSES_EVERY) {
                    self.logged = Some(now);
                    tracing::warn!(gaps = self.gaps, lost = self.lost, "datagrams are lost for good");
                }
            }
            Event::Opened { id, seq, from, before } => tracing::info!(
                publisher = id.publisher,
                session = %id.session,
                stream = id.stream,
                seq,
                joined_late = *from > 1,
                restart_of = before.map(tracing::field::display),
                "a session is heard"
            ),
            Event::Ended { id } => {
                tracing::info!(publisher = id.publisher, session = %id.session, "the publisher stops");
            }
            Event::Silent { id } => {
                tracing::warn!(publisher = id.publisher, session = %id.session, "the publisher is not heard any more");
            }
            _ => {}
        }
    }
}

impl Receiving {
    fn run(&mut self, mut poll: Poll, subscriber: &mut Subscriber, sink: &mut Sink) -> io::Result<()> {
        let mut events = Events::with_capacity(4);
        loop {
            let more = self.take_some(subscriber, sink)?;
            sink.flush()?;
            if self.stopping.load(SeqCst) && !self.lingering {
                self.lingering = true;
                self.deadline = report::now().checked_add(self.linger);
            }
            let now = report::now();
            if self.left == Some(0) {
                return Ok(());
            }
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                return self.take_rest(subscriber, sink);
            }
            if more {
                continue;
            }
            match poll.poll(&mut events, self.deadline.map(|deadline| deadline - now)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => result?,
            }
        }
    }

    /// Takes what is there, within bounds; returns whether there may be more.
    fn take_some(&mut self, subscriber: &mut Subscriber, sink: &mut Sink) -> io::Result<bool> {
        for _ in 0..MESSAGES_MAX {
            if self.left == Some(0) {
                break;
            }
            let Some(event) = subscriber.try_next()? else { return Ok(false) };
            match &event {
                Event::Message(message) => {
                    sink.take(message)?;
                    self.left = self.left.map(|left| left - 1);
                }
                other => {
                    self.losses.log(other);
                    sink.tell(other)?;
                }
            }
        }
        Ok(true)
    }

    /// Takes what has arrived, and no more.
    fn take_rest(&mut self, subscriber: &mut Subscriber, sink: &mut Sink) -> io::Result<()> {
        // Where the kernel cannot refuse more, there is still a bound.
        let _ = subscriber.refuse_more();
        subscriber.give_up();
        for _ in 0..REST_MAX {
            if !self.take_some(subscriber, sink)? || self.left == Some(0) {
                break;
            }
        }
        sink.flush()
    }

    fn verdict(&self, args: &Subscribe) -> Result<(), Failure> {
        match (self.left, args.count, args.timeout) {
            (Some(left @ 1..), Some(count), Some(timeout)) if !self.lingering => Err(Failure::new(format!(
                "{} of {count} messages came within {}",
                count - left,
                humantime::format_duration(timeout)
            ))),
            _ => Ok(()),
        }
    }
}

/// Where messages go.
enum Sink {
    Print(Output, BufWriter<StdoutLock<'static>>),
    Forward(Forward),
}

impl Sink {
    fn open(args: &Subscribe) -> Result<Self, Failure> {
        Ok(match &args.forward {
            Some(to) => Self::Forward(Forward::open(to)?),
            None => Self::Print(args.output, BufWriter::with_capacity(1 << 16, io::stdout().lock())),
        })
    }

    fn take(&mut self, message: &Message<'_>) -> io::Result<()> {
        match self {
            Self::Print(Output::Text, out) => {
                out.write_all(message.payload)?;
                out.write_all(b"\n")
            }
            Self::Print(Output::Raw, out) => out.write_all(message.payload),
            Self::Print(Output::Json, out) => writeln!(out, "{}", described(message)),
            Self::Forward(forward) => {
                forward.send(message.payload);
                Ok(())
            }
        }
    }

    /// Whatever is not a message.
    fn tell(&mut self, event: &Event<'_>) -> io::Result<()> {
        match (self, told(event)) {
            (Self::Print(Output::Json, out), Some(value)) => writeln!(out, "{value}"),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Print(_, out) => out.flush(),
            Self::Forward(_) => Ok(()),
        }
    }

    fn finish(&mut self, totals: &Value) -> io::Result<()> {
        if let Self::Print(Output::Json, out) = self {
            writeln!(out, "{totals}")?;
        }
        self.flush()
    }
}

/// A message with everything that is known of it. A payload that is not UTF-8 is in base64.
fn described(message: &Message<'_>) -> Value {
    let mut value = json!({ "event": "message" });
    match std::str::from_utf8(message.payload) {
        Ok(text) => value["payload"] = json!(text),
        Err(_) => value["payload_base64"] = json!(BASE64_STANDARD.encode(message.payload)),
    }
    value["source"] = json!(message.source().map(|source| source.to_string()));
    if let Some(origin) = message.origin {
        value["publisher"] = json!(origin.publisher);
        value["session"] = json!(origin.session.to_string());
        value["stream"] = json!(origin.stream);
        value["seq"] = json!(origin.seq);
        value["timestamp_ns"] = json!(origin.timestamp_ns);
        value["rescued"] = json!(origin.rescued);
    }
    value
}

/// What became of a publisher, or of what it sent.
fn told(event: &Event<'_>) -> Option<Value> {
    let (name, id) = match event {
        Event::Gap { id, .. } => ("gap", id),
        Event::Opened { id, .. } => ("session", id),
        Event::Ended { id } => ("end", id),
        Event::Silent { id } => ("silent", id),
        _ => return None,
    };
    let mut value = json!({
        "event": name,
        "publisher": id.publisher,
        "session": id.session.to_string(),
        "stream": id.stream,
    });
    match event {
        Event::Gap { from, to, .. } => {
            value["from"] = json!(from);
            value["to"] = json!(to);
            value["count"] = json!(to - from + 1);
        }
        Event::Opened { seq, from, before, .. } => {
            value["seq"] = json!(seq);
            // Whoever joins late starts here, and has not asked for what came before unless --history says so.
            value["joined_late"] = json!(*from > 1);
            value["restart_of"] = json!(before.map(|session| session.to_string()));
        }
        _ => {}
    }
    Some(value)
}

fn totals(subscriber: &Subscriber, sink: &Sink) -> Value {
    let mut totals = report::counters(subscriber.counters().each());
    let refused = subscriber.refusals().each().filter(|(_, count)| *count > 0);
    totals.insert("event".into(), json!("totals"));
    totals.insert("missing".into(), json!(subscriber.missing()));
    totals.insert("refused".into(), Value::Object(report::counters(refused)));
    if let Sink::Forward(forward) = sink {
        totals.insert("forward_failed".into(), json!(forward.failed()));
    }
    Value::Object(totals)
}
