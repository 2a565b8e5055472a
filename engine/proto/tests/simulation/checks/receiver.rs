//! What a receiver tells about itself agrees with what it does.

use headcast_proto::Receiver;

use super::{Checked, ensure};

/// What became of the datagrams that reached one run of a subscriber.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) arrived: u64,
    pub(crate) unparsed: u64,
    pub(crate) delivered: u64,
    pub(crate) kept: u64,
    pub(crate) duplicates: u64,
    pub(crate) noted: u64,
    pub(crate) refused: u64,
}

pub(crate) fn verdicts_add_up(verdicts: &Verdicts) -> Checked {
    let Verdicts { arrived, unparsed, delivered, kept, duplicates, noted, refused } = *verdicts;
    let sum = unparsed + delivered + kept + duplicates + noted + refused;
    ensure(arrived == sum, "verdicts_add_up", || format!("{verdicts:?}"))
}

pub(crate) fn memory_stays_within_its_limit(receiver: &Receiver, limit: usize) -> Checked {
    /// It is taken in whole blocks.
    const BLOCK: usize = 1408;
    let (used, capacity) = receiver.memory();
    ensure(used <= capacity && capacity < limit + BLOCK, "memory_stays_within_its_limit", || {
        format!("{used} bytes of {capacity}, the limit is {limit}")
    })
}

pub(crate) fn lost_agrees_with_the_gaps(receiver: &Receiver, told: u64) -> Checked {
    let lost = receiver.lost();
    ensure(lost == told, "lost_agrees_with_the_gaps", || format!("{lost} lost, and gaps of {told} in all"))
}

/// What is missing is what is awaited; of the past, and of what was forged, the receiver knows more.
pub(crate) fn missing_agrees_with_what_is_awaited(receiver: &Receiver, awaited: u64, past: u64) -> Checked {
    let missing = receiver.missing();
    let agree = (awaited..=awaited.saturating_add(past)).contains(&missing);
    ensure(agree, "missing_agrees_with_what_is_awaited", || {
        format!("{missing} missing, {awaited} awaited and {past} of the past asked for")
    })
}

/// It does not want to be called again at once, for ever.
pub(crate) fn it_comes_to_rest(receiver: &Receiver, now_ns: u64) -> Checked {
    let deadline_ns = receiver.deadline_ns();
    ensure(deadline_ns > now_ns, "it_comes_to_rest", || {
        format!("after many calls something is still due since {} ns", now_ns - deadline_ns)
    })
}

pub(crate) fn nothing_is_missing_at_the_end(receiver: &Receiver) -> Checked {
    let missing = receiver.missing();
    ensure(missing == 0, "nothing_is_missing_at_the_end", || format!("{missing} are missing"))
}
