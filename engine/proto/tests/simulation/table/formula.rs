//! What theory says is lost, without repairs.

use super::cells::{BURST_SLOTS, Cell, SLOT_NS, SPACING_NS};
use crate::network::loss::Chain;

/// The share of messages of which every copy is lost; `None` with repairs, for which there is no formula.
///
/// Copy i goes out `spacing x (2^i - 1)` after the first, so 2^(i-1) spacings after the one before it. A message
/// is lost if its first copy meets the bad state, and each further copy meets it again: the states at two times
/// depend on each other only through the slots between them.
pub(crate) fn lost(cell: &Cell) -> Option<f64> {
    if cell.mode.repairs {
        return None;
    }
    let chain = Chain::new(cell.mean, BURST_SLOTS);
    let slots = SPACING_NS as f64 / SLOT_NS as f64;
    let again = |i: u32| {
        if cell.bursts { chain.bad_after(true, slots * f64::from(1u32 << (i - 1))) } else { cell.mean }
    };
    Some((1..cell.mode.copies as u32).map(again).product::<f64>() * cell.mean)
}
