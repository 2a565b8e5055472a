//! What must hold in every world: one function for each promise.

pub(crate) mod answers;
pub(crate) mod copies;
pub(crate) mod ledger;
pub(crate) mod receiver;

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// The function that found it.
    pub(crate) check: &'static str,
    pub(crate) what: String,
}

pub(crate) type Checked<T = ()> = Result<T, Violation>;

#[inline]
pub(crate) fn ensure(holds: bool, check: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { check, what: what() }) }
}
