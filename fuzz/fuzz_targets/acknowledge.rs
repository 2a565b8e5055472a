#![no_main]

#[path = "../invariants/acknowledge.rs"]
mod acknowledge;
#[path = "../invariants/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| acknowledge::check(bytes));
