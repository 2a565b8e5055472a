//! `headcast subscribe`: receives, prints or hands on each message once, and answers it if asked to.

mod receiving;

use std::io::{self, BufWriter, StdoutLock, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use headcast::{Event, Message, Subscriber};
use mio::{Interest, Poll, Token, Waker};
use serde_json::{Value, json};

use crate::args::{Output, Subscribe};
use crate::failure::Failure;
use crate::forward::Forward;
use crate::respond::Responding;
use crate::{report, signals};
use receiving::Receiving;

const SOCKET: Token = Token(0);
const STOP: Token = Token(1);

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
        .gro(args.gro.is_on())
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

    let mut receiving = Receiving::new(args, stopping);
    let result = receiving.run(poll, &mut subscriber, &mut sink);
    let responses = sink.responding.as_ref().map_or(Ok(()), Responding::finish);
    let totals = totals(&subscriber, &sink);
    tracing::info!(%totals, "done");
    match result.and_then(|()| sink.finish(&totals)) {
        // Whoever read our output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => responses,
        Err(error) => Err(Failure::new(format!("cannot go on: {error}"))),
        Ok(()) => responses.and_then(|()| receiving.verdict(args)),
    }
}

/// Where messages go.
struct Sink {
    way: Way,
    responding: Option<Responding>,
}

enum Way {
    Print(Output, BufWriter<StdoutLock<'static>>),
    Forward(Forward),
    /// Whoever answers them hands them on.
    Responding,
}

impl Sink {
    fn open(args: &Subscribe) -> Result<Self, Failure> {
        let responding = Responding::open(&args.responding, args.forward.as_ref())?;
        let way = match &args.forward {
            Some(_) if responding.as_ref().is_some_and(Responding::hands_on) => Way::Responding,
            Some(to) => Way::Forward(Forward::open(to)?),
            None => Way::Print(args.output, BufWriter::with_capacity(1 << 16, io::stdout().lock())),
        };
        Ok(Self { way, responding })
    }

    fn take(&mut self, message: &Message<'_>) -> io::Result<()> {
        match &mut self.way {
            Way::Print(Output::Text, out) => {
                out.write_all(message.payload)?;
                out.write_all(b"\n")?;
            }
            Way::Print(Output::Raw, out) => out.write_all(message.payload)?,
            Way::Print(Output::Json, out) => writeln!(out, "{}", described(message))?,
            Way::Forward(forward) => forward.send(message.payload),
            Way::Responding => {}
        }
        if let Some(responding) = &self.responding {
            responding.take(message);
        }
        Ok(())
    }

    /// Whatever is not a message.
    fn tell(&mut self, event: &Event<'_>) -> io::Result<()> {
        match (&mut self.way, told(event)) {
            (Way::Print(Output::Json, out), Some(value)) => writeln!(out, "{value}"),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.way {
            Way::Print(_, out) => out.flush(),
            Way::Forward(_) | Way::Responding => Ok(()),
        }
    }

    fn finish(&mut self, totals: &Value) -> io::Result<()> {
        if let Way::Print(Output::Json, out) = &mut self.way {
            writeln!(out, "{totals}")?;
        }
        self.flush()
    }

    /// Messages that could not be handed on, if they were to be.
    fn forward_failed(&self) -> Option<u64> {
        match &self.way {
            Way::Print(..) => None,
            Way::Forward(forward) => Some(forward.failed()),
            Way::Responding => self.responding.as_ref().map(Responding::not_handed_on),
        }
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
        value["part"] = json!(origin.part);
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
    if let Some(failed) = sink.forward_failed() {
        totals.insert("forward_failed".into(), json!(failed));
    }
    totals.extend(sink.responding.iter().flat_map(Responding::totals));
    Value::Object(totals)
}
