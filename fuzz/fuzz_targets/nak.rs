#![no_main]

#[path = "../invariants/nak.rs"]
mod nak;
#[path = "../invariants/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nak::check(bytes));
