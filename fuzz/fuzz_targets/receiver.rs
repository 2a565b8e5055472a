#![no_main]

#[path = "../invariants/receiver.rs"]
mod receiver;
#[path = "../invariants/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| receiver::check(bytes));
