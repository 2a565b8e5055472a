//! `headcast demo`.
use crate::args::Demo;
use crate::failure::Failure;

pub(crate) fn run(_args: &Demo) -> Result<(), Failure> {
    Err(Failure::new("not yet"))
}
