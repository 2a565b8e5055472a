//! Whatever arrives, in whatever order: every sequence comes once or is told once as lost, no memory
//! grows, nothing panics.
//!
//! Byte 0 chooses the receiver, with two more if bit 5 is set. Then steps: how much time passes, who
//! sends, what, and which sequence. The books are kept by the [`Ledger`].

#[path = "receiver/setup.rs"]
mod setup;
#[path = "receiver/step.rs"]
mod step;

use std::collections::HashMap;

use headcast_proto::{Datagram, Now, Refusal, Verdict};

use crate::ledger::{Ledger, Pair};
use crate::script::{STEPS_MAX, Script};
use setup::Setup;
use step::{Act, Step};

/// Some day in 2026.
const START_MS: u64 = 1_790_000_000_000;

pub(crate) fn check(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let setup = Setup::read(&mut script);
    let mut receiver = setup.receiver();
    let mut ledger = Ledger::new(setup.expected());
    let mut now = Now { mono_ns: 1, unix_ns: (START_MS + 5_000_000) * 1_000_000 };
    // Where the next sequence of each pair is likely to be.
    let mut last_seqs: HashMap<Pair, u64> = HashMap::new();

    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        let step = Step::read(&mut script, &setup, &last_seqs);
        now = Now { mono_ns: now.mono_ns + step.pause_ns, unix_ns: now.unix_ns + step.pause_ns };
        if step.settles {
            ledger.settle(&mut receiver, now);
        }
        match step.act {
            Act::Send => {}
            Act::Wait => continue,
            Act::Finish => {
                ledger.finish(&mut receiver);
                continue;
            }
        }
        last_seqs.insert(step.pair, step.seq);
        let bytes = step.bytes(now);
        let datagram = Datagram::parse(&bytes).expect("a valid datagram, by construction");
        let (lost, missing) = (receiver.lost(), receiver.missing());
        let verdict = ledger.send(&mut receiver, now, &datagram);
        assert!(receiver.lost() >= lost, "what is lost stays lost");
        if let Some(place) = receiver.noticed() {
            assert!(place < setup.publishers);
        }
        if is_as_if_it_never_came(verdict, &setup) {
            assert_eq!((receiver.lost(), receiver.missing()), (lost, missing), "{verdict:?}: {step:?}");
        }
        assert!(step.allows(verdict, &setup), "{verdict:?}: {step:?}");
    }
    ledger.settle(&mut receiver, now);
    ledger.finish(&mut receiver);
    assert_eq!(receiver.event(), None);
}

/// Most refusals leave no trace. The others may come with a change of sessions, or with what is known to be
/// missing then.
fn is_as_if_it_never_came(verdict: Verdict, setup: &Setup) -> bool {
    match verdict {
        Verdict::Duplicate => true,
        Verdict::Refused(Refusal::Behind | Refusal::Memory | Refusal::MessageTooLong) => false,
        // In order, room for it may have been made first.
        Verdict::Refused(Refusal::Jump) => setup.order_ns.is_none(),
        Verdict::Refused(_) => true,
        _ => false,
    }
}
