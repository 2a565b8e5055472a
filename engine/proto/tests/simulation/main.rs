//! Whole worlds in virtual time: publishers, subscribers, and a bad network between them. Everything that
//! happens in a world comes from one number, its seed, so whatever goes wrong can be seen again.
//!
//! ```sh
//! cargo test -p headcast-proto --test simulation                            # many worlds
//! cargo test -p headcast-proto --test simulation -- --seed 7 --verbose      # one, and its story
//! scripts/reliability                                                       # the table in docs/reliability.md
//! ```
//!
//! | module | part |
//! |---|---|
//! | [`plan`] | what a seed draws: who, how, how bad the network is, what goes wrong |
//! | [`world`] | the nodes, virtual time, faults, and how every world heals in the end |
//! | [`publisher`], [`subscriber`] | the real protocol, driven as the real programs drive it |
//! | [`network`] | loss, delay, copies and flipped bits |
//! | [`checks`] | what must hold, a function for each promise |
//! | [`campaign`] | many worlds on all cores |
//! | [`table`] | how much each mode loses, measured beside the formula |
#![allow(clippy::cast_possible_truncation, reason = "worlds are small")]

mod args;
mod campaign;
mod checks;
mod mail;
mod network;
mod plan;
mod publisher;
mod records;
mod rng;
mod story;
mod subscriber;
mod table;
mod world;

use std::process::ExitCode;

use args::Args;

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(code) => return code,
    };
    if !args.is_wanted() {
        return ExitCode::SUCCESS;
    }
    campaign::keep_panics();
    let done = match (&args.table, args.seed) {
        (Some(target), _) => table::write(target),
        (None, Some(seed)) => campaign::one(seed, args.verbose),
        (None, None) => campaign::many(args.from, args.seeds),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
