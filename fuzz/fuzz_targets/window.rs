#![no_main]

#[path = "../invariants/script.rs"]
mod script;
#[path = "../invariants/window.rs"]
mod window;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| window::check(bytes));
