#![no_main]

#[path = "../invariants/decode.rs"]
mod decode;
#[path = "../invariants/encode.rs"]
mod encode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decode::check(bytes));
