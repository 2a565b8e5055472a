#![no_main]

#[path = "../invariants/encode.rs"]
mod encode;
#[path = "../invariants/ledger.rs"]
mod ledger;
#[path = "../invariants/receiver.rs"]
mod receiver;
#[path = "../invariants/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| receiver::check(bytes));
