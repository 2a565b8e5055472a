//! `headcast relay`: the sidecar that sends what arrives locally to every pod.

use std::io::Write as _;

use headcast::peers::Stop;

use crate::args::Relay;
use crate::failure::Failure;
use crate::{report, signals, target};

pub(crate) fn run(args: &Relay) -> Result<(), Failure> {
    let signals = signals::catch()?;
    let builder = target::publisher(&args.target, &args.sending)?
        .listen(args.listen.clone())
        .receive_buffer(args.receive_buffer);
    builder.check()?;
    tracing::info!(bytes = builder.memory(), "taking memory for the ring and the queue");
    let mut publisher = builder.build()?;
    let stop = Stop::new();
    let at_signal = (publisher.handle(), stop.clone());
    signals.on_stop(move || {
        at_signal.1.stop();
        at_signal.0.stop();
    })?;
    report::watch_failures(publisher.monitor(), stop).map_err(Failure::about("cannot start a thread"))?;
    let started = report::now();
    tracing::info!(
        listen = %args.listen,
        address = publisher.ingress_address().map(tracing::field::display),
        capabilities = %publisher.capabilities(),
        mode = %publisher.mode(),
        publisher = publisher.id(),
        "ready"
    );

    publisher.run().map_err(Failure::about("cannot go on"))?;
    let unsent = publisher.close(args.sending.drain).map_err(Failure::about("cannot send"))?;

    let totals = report::totals(&publisher, started.elapsed(), unsent);
    tracing::info!(%totals, "done");
    if args.json {
        writeln!(std::io::stdout(), "{totals}").map_err(Failure::about("standard output"))?;
    }
    if unsent > 0 {
        let drain = humantime::format_duration(args.sending.drain);
        return Err(Failure::new(format!(
            "{unsent} datagrams had not gone out in all their copies {drain} after the end (--drain)"
        )));
    }
    Ok(())
}
