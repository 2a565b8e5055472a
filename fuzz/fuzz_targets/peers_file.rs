#![no_main]

#[path = "../invariants/peers_file.rs"]
mod peers_file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peers_file::check(bytes));
