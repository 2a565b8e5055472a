//! The command line: every option, its default, and its place in the environment.

mod common;
mod record;
mod records;
mod subscribe;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Arg, ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use headcast::Listen;

pub(crate) use common::{LogFormat, Logging, Sending, Target};
pub(crate) use record::Record;
pub(crate) use records::{Moment, Records};
pub(crate) use subscribe::{Output, RespondWith, Responding, Subscribe};

/// A message to every pod of a Kubernetes service, by unicast UDP.
#[derive(Debug, Parser)]
#[command(
    name = "headcast",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Every option can also be set in the environment: --log-level is HEADCAST_LOG_LEVEL.\n\
                  Exit codes: 0 done, 1 failed, 2 wrong command line.\n\n\
                  See it work, with nothing installed: headcast demo"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) logging: Logging,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send messages to every pod behind a name
    ///
    /// The messages are --message, --file, or the lines of standard input. It ends when all copies of all of them have
    /// gone out.
    #[command(after_help = PUBLISH_EXAMPLES)]
    Publish(Publish),
    /// Send every datagram that arrives locally to every pod behind a name
    ///
    /// The sidecar: an application in any language sends to one local socket. SIGTERM sends what has arrived, then ends.
    #[command(after_help = RELAY_EXAMPLES)]
    Relay(Relay),
    /// Receive messages, each of them once
    ///
    /// What is lost is asked for again by itself, if the publisher's mode is dup+nak or nak: that is the publisher's choice.
    #[command(after_help = SUBSCRIBE_EXAMPLES)]
    Subscribe(Subscribe),
    /// Store the responses of subscribers in a database, and acknowledge what is stored
    ///
    /// One row for each message: the first result, how many have responded, and how many of them said something else.
    /// Of several recorders of a database one writes, and the others stand by.
    #[command(after_help = record::EXAMPLES)]
    Record(Record),
    /// Show what a recorder has stored, also while it runs
    #[command(after_help = records::EXAMPLES)]
    Records(Records),
    /// Show who the peers behind a name are
    #[command(after_help = RESOLVE_EXAMPLES)]
    Resolve(Resolve),
    /// See it work on this machine: a DNS server, pods that come and go, lost datagrams, a recorder
    Demo(Demo),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page, or write one page for each command
    Man(Man),
}

const PUBLISH_EXAMPLES: &str = "\
Examples:
  headcast publish --to headless-udp.demo.svc.cluster.local:12000 --message 'hello'
  tail -f events.log | headcast publish --to headless-udp:12000
  headcast publish --peers 10.0.0.7,10.0.0.8:12001 --file state.bin --copies 3 --json
  headcast publish --to headless-udp:12000 --raw --message 'for a plain recvfrom'";

const RELAY_EXAMPLES: &str = "\
Examples:
  headcast relay --listen udp://127.0.0.1:9000 --to headless-udp:12000
  headcast relay --listen unix:///run/headcast.sock --to headless-udp:12000 --backlog drop-oldest";

const SUBSCRIBE_EXAMPLES: &str = "\
Examples:
  headcast subscribe
  headcast subscribe --listen 0.0.0.0:12000 --output json
  headcast subscribe --forward unix:///run/app.sock
  headcast subscribe --ordered --max-hold 50ms --history 100
  headcast subscribe --raw --count 1 --timeout 10s
  headcast subscribe --respond-to recorder:12001 --respond-with exec -- ./work --once
  headcast subscribe --respond-to recorder:12001 --respond-with forward --forward unix:///run/app";

const RESOLVE_EXAMPLES: &str = "\
Examples:
  headcast resolve headless-udp.demo.svc.cluster.local:12000
  headcast resolve headless-udp:12000 --watch --json
  headcast resolve _udp._udp.headless-udp.demo.svc.cluster.local --srv";

#[derive(Debug, Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) sending: Sending,
    /// The message
    #[arg(long, value_name = "TEXT", group = "content", help_heading = "Messages")]
    pub(crate) message: Option<String>,
    /// A file whose whole content is the message
    #[arg(long, value_name = "FILE", group = "content", help_heading = "Messages")]
    pub(crate) file: Option<PathBuf>,
    /// How often to publish the message; 0 is without end
    #[arg(long, value_name = "N", requires = "content", default_value_t = 1, help_heading = "Messages")]
    pub(crate) repeat: u64,
    /// Messages per second at most, on an absolute schedule [default: as fast as they can be sent]
    #[arg(long, value_name = "N", value_parser = common::rate, help_heading = "Messages")]
    pub(crate) rate: Option<f64>,
    /// How long to wait for a peer, as a first lookup may fail or find nobody
    #[arg(long, value_name = "DURATION", value_parser = common::duration, default_value = "0s", help_heading = "Peers")]
    pub(crate) wait: Duration,
    /// Print the totals as one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Relay {
    /// Where local applications send to: udp://ADDR:PORT or unix:///PATH
    #[arg(long, value_name = "URL")]
    pub(crate) listen: Listen,
    /// The receive buffer to ask for, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub(crate) receive_buffer: usize,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) sending: Sending,
    /// Print the totals as one JSON object on standard output at the end
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Resolve {
    /// NAME:PORT, or the name of an SRV record with --srv
    #[arg(value_name = "NAME:PORT")]
    pub(crate) name: String,
    /// Ask for the SRV record of the name: addresses and ports come from there
    #[arg(long)]
    pub(crate) srv: bool,
    /// Ask this DNS server rather than those of /etc/resolv.conf
    #[arg(long, value_name = "ADDR:PORT", value_parser = common::dns_server)]
    pub(crate) dns_server: Option<SocketAddr>,
    /// Stay, and print changes as they come
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many pods there are at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=200))]
    pub(crate) peers: u16,
    /// Messages per second
    #[arg(long, value_name = "N", value_parser = common::rate, default_value = "1000")]
    pub(crate) rate: f64,
    /// How long to publish
    #[arg(long, value_name = "DURATION", value_parser = common::duration, default_value = "12s")]
    pub(crate) duration: Duration,
    /// Percent of the datagrams that are dropped on purpose
    #[arg(long, value_name = "PERCENT", value_parser = common::percent, default_value = "3")]
    pub(crate) loss: f64,
    /// Which datagrams are dropped: the same ones for the same seed [default: by chance, and told]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// One pod answers something else than the others, and the recorder finds out
    #[arg(long)]
    pub(crate) liar: bool,
    /// Print the totals as one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// The whole command line, each option with its place in the environment.
pub(crate) fn command() -> clap::Command {
    // Of those that exclude each other, one on the command line stands against all in the environment.
    let given = std::env::args_os().any(|arg| {
        let arg = arg.to_string_lossy();
        let name = arg.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest));
        name.is_some_and(|name| common::PEERS.contains(&name))
    });
    with_environment(Cli::command(), "HEADCAST", if given { &common::PEERS } else { &[] })
}

fn with_environment(command: clap::Command, prefix: &str, but: &[&str]) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_long() {
        Some("help" | "version") | None => arg,
        Some(long) if but.contains(&long) => arg,
        Some(long) => {
            let variable = variable(prefix, long);
            boolish(arg).env(variable).hide_env_values(true)
        }
    });
    command.mut_subcommands(|command| {
        // The demo's options have the names of others, but mean other things.
        let prefix = if command.get_name() == "demo" { "HEADCAST_DEMO" } else { prefix };
        with_environment(command, prefix, but)
    })
}

/// The environment variable of an option.
fn variable(prefix: &str, long: &str) -> String {
    format!("{prefix}_{}", long.to_ascii_uppercase().replace('-', "_"))
}

/// Lets a switch be set to 1, true, yes or on, and to 0, false, no or off.
fn boolish(arg: Arg) -> Arg {
    match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(FalseyValueParser::new()),
        _ => arg,
    }
}

/// Reads the command line; ends the program with a message if it is wrong, or if help was asked for.
pub(crate) fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests;
