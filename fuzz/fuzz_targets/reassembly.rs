#![no_main]

#[path = "../invariants/encode.rs"]
mod encode;
#[path = "../invariants/ledger.rs"]
mod ledger;
#[path = "../invariants/reassembly.rs"]
mod reassembly;
#[path = "../invariants/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reassembly::check(bytes));
