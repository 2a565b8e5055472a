//! `headcast`: a message to every pod of a Kubernetes service, from the command line.

mod args;
mod demo;
mod failure;
mod forward;
mod logging;
mod pages;
mod publish;
mod record;
mod records;
mod relay;
mod report;
mod resolve;
mod respond;
mod signals;
mod subscribe;
mod target;

use std::process::ExitCode;

use args::Command;
use failure::Failure;

fn main() -> ExitCode {
    let args = args::parse();
    // The demo says itself what happens, and redraws its lines.
    logging::start(&args.logging, matches!(args.command, Command::Demo(_)));
    match run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Publish(args) => publish::run(&args),
        Command::Relay(args) => relay::run(&args),
        Command::Subscribe(args) => subscribe::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Records(args) => records::run(&args),
        Command::Resolve(args) => resolve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => pages::completions(&args),
        Command::Man(args) => pages::man(&args),
    }
}
