#![no_main]

#[path = "../invariants/ledger.rs"]
mod ledger;
#[path = "../invariants/script.rs"]
mod script;
#[path = "../invariants/segments.rs"]
mod segments;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segments::check(bytes));
