//! What has to be in a database, by what was sent: slow and plain.

use std::collections::HashMap;

use crate::load::Answer;
use crate::readers::{ResponseId, Said, State, Subject, Tables};

/// The responses of one responder in the order of their numbers, from 1.
pub(crate) struct Account {
    pub(crate) id: u32,
    pub(crate) sent: Vec<Answer>,
    /// Everything below this number was acknowledged when that was read.
    pub(crate) acknowledged_below: u64,
}

/// Checks a database with all responses: nothing is there that was not sent, everything that was acknowledged is
/// there once, and the states of the messages are what the responses come to.
pub(crate) fn check(tables: &Tables, accounts: &[Account]) {
    check_sent(tables, accounts);
    for account in accounts {
        let next = next_of(tables, account.id);
        let acknowledged = account.acknowledged_below;
        assert!(next >= acknowledged, "{}: {acknowledged} acknowledged, {next} stored", account.id);
        let stored = responses_of(tables, account.id, next);
        assert_eq!(stored, next - 1, "responses of {} below {next}", account.id);
    }
    check_states(tables, &tables.responses);
}

/// Checks a database with everything that was sent, kept or not.
pub(crate) fn check_complete(tables: &Tables, accounts: &[Account]) {
    let mut all = HashMap::new();
    for account in accounts {
        let who = *tables.responders.keys().find(|who| who.0 == account.id).expect("it is known");
        assert_eq!(tables.responders[&who], account.sent.len() as u64 + 1, "of {who:?} all is stored");
        for (seq, answer) in (1..).zip(&account.sent) {
            let said = Said { subject: answer.subject, result: answer.result.clone(), recorded_ns: 0 };
            all.insert((who, seq), said);
        }
    }
    assert_eq!(tables.responders.len(), accounts.len());
    if !tables.responses.is_empty() {
        assert_eq!(tables.responses.len(), all.len());
        check(tables, accounts);
    }
    check_states(tables, &all);
}

/// Checks databases that were used one after the other, or again, the last one at the end: everything that was sent is
/// in one of them, and each is right by itself.
pub(crate) fn check_parts(parts: &[&Tables], accounts: &[Account]) {
    for tables in parts {
        check_sent(tables, accounts);
        check_states(tables, &tables.responses);
    }
    let last = parts.last().expect("there are some");
    for account in accounts {
        let who = last.responders.keys().find(|who| who.0 == account.id).expect("it is known");
        let end = account.sent.len() as u64 + 1;
        assert_eq!(last.responders[who], end, "of {who:?} all is stored or passed over");
        let is_nowhere = |seq: &u64| parts.iter().all(|tables| !tables.responses.contains_key(&(*who, *seq)));
        let nowhere: Vec<u64> = (1..end).filter(is_nowhere).collect();
        assert!(nowhere.is_empty(), "of {who:?} there is nowhere {nowhere:?}");
    }
}

/// Checks that every response there is was sent like that.
fn check_sent(tables: &Tables, accounts: &[Account]) {
    let by_id: HashMap<u32, &Account> = accounts.iter().map(|account| (account.id, account)).collect();
    for ((who, seq), said) in &tables.responses {
        let account = by_id.get(&who.0).unwrap_or_else(|| panic!("{who:?} is nobody"));
        let answer = account.sent.get(at(*seq)).unwrap_or_else(|| panic!("{who:?} never sent {seq}"));
        assert_eq!((said.subject, &said.result), (answer.subject, &answer.result), "{who:?} {seq}");
    }
}

/// Checks messages and divergences against all responses there are.
pub(crate) fn check_states(tables: &Tables, all: &HashMap<ResponseId, Said>) {
    let mut by_subject: HashMap<Subject, Vec<(&ResponseId, &Said)>> = HashMap::new();
    for (key, said) in all {
        by_subject.entry(said.subject).or_default().push((key, said));
    }
    assert_eq!(tables.messages.len(), by_subject.len(), "one row for each message");
    let mut divergences = 0;
    for (subject, said) in by_subject {
        let state = tables.messages.get(&subject).unwrap_or_else(|| panic!("{subject:?} has no row"));
        assert_eq!(state.responses, said.len() as u64, "responses to {subject:?}");
        assert!(said.iter().any(|of| is_first(state, of)), "nobody said what is first of {subject:?}");
        // Times are known only of responses that were read from the database.
        let first_ns = said.iter().map(|(_, said)| said.recorded_ns).min().unwrap_or(0);
        assert!(
            first_ns == 0 || first_ns == state.recorded_ns,
            "another response to {subject:?} was earlier"
        );
        let differing = said.iter().filter(|(_, said)| said.result != state.result);
        let mut count = 0;
        for (key, said) in differing {
            count += 1;
            let noted = tables.divergences.get(key).unwrap_or_else(|| panic!("{key:?} differs"));
            assert_eq!((noted.subject, &noted.result), (said.subject, &said.result), "{key:?}");
        }
        assert_eq!(state.divergent, count, "divergent responses to {subject:?}");
        divergences += count;
    }
    assert_eq!(tables.divergences.len() as u64, divergences, "divergences that are none");
}

/// Whether this response made the row.
fn is_first(state: &State, (key, said): &(&ResponseId, &Said)) -> bool {
    let in_time = said.recorded_ns == 0 || said.recorded_ns == state.recorded_ns;
    state.responder == key.0 && state.result == said.result && in_time
}

fn next_of(tables: &Tables, id: u32) -> u64 {
    let mut runs = tables.responders.iter().filter(|(who, _)| who.0 == id);
    let next = runs.next().map_or(1, |(_, next)| *next);
    assert!(runs.next().is_none(), "{id} had one session");
    next
}

fn responses_of(tables: &Tables, id: u32, below: u64) -> u64 {
    tables.responses.keys().filter(|(who, seq)| who.0 == id && *seq < below).count() as u64
}

fn at(seq: u64) -> usize {
    usize::try_from(seq.wrapping_sub(1)).expect("an index")
}
