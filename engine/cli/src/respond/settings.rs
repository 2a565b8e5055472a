//! What the command line says about answering, checked.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use headcast::peers::{PeerSet, Source};
use headcast::{Listen, Responder, ResponderBuilder};

use super::exec::Recipe;
use crate::args::{RespondWith, Responding};
use crate::failure::Failure;

/// Messages under way to an application at once, unless the command line says otherwise: so many lose little to the
/// way there and back, and need few sockets.
const FORWARD_CONCURRENCY: usize = 64;

/// Who answers, if anybody does.
///
/// # Errors
/// Options that do not go together.
pub(super) fn check(args: &Responding, forward: Option<&Listen>) -> Result<Option<RespondWith>, Failure> {
    let Some(with) = args.respond_with else { return Ok(None) };
    let wrong = |what: &str| Err(Failure::usage(what));
    match with {
        RespondWith::Exec if args.command.is_empty() => {
            wrong("--respond-with exec needs a command at the end: --respond-with exec -- COMMAND ARGUMENTS")
        }
        RespondWith::Forward | RespondWith::Echo if !args.command.is_empty() => {
            wrong("a command answers only with --respond-with exec; leave it out, or use exec")
        }
        RespondWith::Forward if forward.is_none() => wrong(
            "--respond-with forward needs the application that answers: --forward udp://ADDR:PORT or unix:///PATH",
        ),
        with if args.respond_timeout.is_zero() && with != RespondWith::Echo => {
            wrong("--respond-timeout 0s leaves no time to answer; right would be 5s, for example")
        }
        with => Ok(Some(with)),
    }
}

/// The responder that these options describe.
///
/// # Errors
/// A recorder that is not understood.
pub(super) fn responder(args: &Responding) -> Result<ResponderBuilder, Failure> {
    let builder = match args.respond_to.as_slice() {
        [one] => Responder::builder().to(one)?,
        several => Responder::builder().source(Source::Static(addresses(several)?)),
    };
    let builder = builder.queue(args.respond_queue);
    Ok(match args.respond_id {
        Some(id) => builder.responder_id(id),
        None => builder,
    })
}

/// Several recorders, whose addresses do not change.
fn addresses(several: &[String]) -> Result<PeerSet, Failure> {
    let mut all = Vec::new();
    for one in several {
        match Source::from_target(one).map_err(Failure::usage)? {
            Source::Static(peers) => all.extend(peers.iter().copied()),
            _ => {
                return Err(Failure::usage(format!(
                    "'{one}' is a name among several recorders of --respond-to: right would be one name alone, which may have several addresses, or addresses"
                )));
            }
        }
    }
    Ok(all.into_iter().collect())
}

/// How many messages are answered at a time.
pub(super) fn concurrency(args: &Responding, with: RespondWith) -> usize {
    args.respond_concurrency.map_or_else(
        || match with {
            RespondWith::Exec => std::thread::available_parallelism().map_or(1, usize::from),
            RespondWith::Forward | RespondWith::Echo => FORWARD_CONCURRENCY,
        },
        usize::from,
    )
}

/// The command to run.
///
/// # Errors
/// There is no such program: better now than with each message.
pub(super) fn recipe(args: &Responding) -> Result<Recipe, Failure> {
    let [program, arguments @ ..] = args.command.as_slice() else {
        return Err(Failure::usage("a command is missing"));
    };
    if !exists(program) {
        return Err(Failure::new(format!(
            "cannot run '{}': there is no such program that may be run; give its path, or see PATH",
            program.display()
        )));
    }
    Ok(Recipe { program: program.clone(), arguments: arguments.to_vec(), timeout: args.respond_timeout })
}

/// Whether a program can be found as the kernel and the C library do it (`execvp(3)`).
fn exists(program: &OsStr) -> bool {
    let runs = |path: &Path| {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if program.as_encoded_bytes().contains(&b'/') {
        return runs(Path::new(program));
    }
    match env::var_os("PATH") {
        Some(path) => env::split_paths(&path).any(|directory| runs(&directory.join(program))),
        // The C library has a default of its own.
        None => true,
    }
}
