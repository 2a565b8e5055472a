//! Many responders to the same messages, some of whom say something else to some.

use std::time::Duration;

use crate::readers::Tables;

/// The stream of the messages.
pub(crate) const STREAM: u16 = 1;
/// Answers of one responder before it is the turn of the next.
const TURN: u64 = 64;

/// Who says something else, of so many: always fewer than half.
fn is_lie(of: u32, responders: u32, seq: u64) -> bool {
    seq % 10 == 3 && u64::from(of) < lies(responders, seq)
}

/// How many say something else to a message.
fn lies(responders: u32, seq: u64) -> u64 {
    if seq % 10 == 3 { 1 + seq / 10 % (u64::from(responders) / 4) } else { 0 }
}

fn result(of: u32, responders: u32, seq: u64) -> String {
    if is_lie(of, responders, seq) { format!("{seq} is wrong") } else { format!("{seq} is done") }
}

/// All responders answer all messages, each in turn as far as it may hold responses: `say` is told who, to which
/// message and what, and is false when that one can hold no more.
pub(crate) fn answer_all(responders: u32, messages: u64, mut say: impl FnMut(u32, u64, &[u8]) -> bool) {
    let mut next: Vec<u64> = vec![1; responders as usize];
    while next.iter().any(|seq| *seq <= messages) {
        let mut all_full = true;
        for (of, seq) in (0..).zip(&mut next) {
            let until = (*seq + TURN).min(messages + 1);
            while *seq < until && say(of, *seq, result(of, responders, *seq).as_bytes()) {
                *seq += 1;
                all_full = false;
            }
        }
        if all_full {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Checks the states: each message has the answers of all, and as many that differ as were planted, or when a lie
/// came first, as were not. Returns how many differ.
pub(crate) fn check(tables: &Tables, responders: u32, messages: u64) -> u64 {
    assert_eq!(tables.messages.len() as u64, messages);
    for ((_, _, stream, seq, _), state) in &tables.messages {
        assert_eq!((*stream, state.responses), (STREAM, u64::from(responders)), "{seq}");
        let lies = lies(responders, *seq);
        let is_lie = state.result == format!("{seq} is wrong").as_bytes();
        let truth = u64::from(responders) - lies;
        assert_eq!(state.divergent, if is_lie { truth } else { lies }, "{seq}");
    }
    tables.messages.values().map(|state| state.divergent).sum()
}
