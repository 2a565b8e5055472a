//! What the fuzzer's corpus holds, replayed without a fuzzer.

#[path = "../../../fuzz/invariants/acknowledge.rs"]
mod acknowledge;
#[path = "../../../fuzz/invariants/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/invariants/decode.rs"]
mod decode;
#[path = "../../../fuzz/invariants/encode.rs"]
mod encode;
#[path = "../../../fuzz/invariants/ledger.rs"]
mod ledger;
#[path = "../../../fuzz/invariants/nak.rs"]
mod nak;
#[path = "../../../fuzz/invariants/reassembly.rs"]
mod reassembly;
#[path = "../../../fuzz/invariants/receiver.rs"]
mod receiver;
#[path = "../../../fuzz/invariants/script.rs"]
mod script;
#[path = "../../../fuzz/invariants/window.rs"]
mod window;

#[test]
fn every_datagram_of_the_corpus_parses_as_the_wire_format_says() {
    corpus::replay("decode", decode::check);
}

#[test]
fn the_window_agrees_with_its_oracle_on_every_story_of_the_corpus() {
    corpus::replay("window", window::check);
}

#[test]
fn the_receiver_keeps_its_promises_in_every_story_of_the_corpus() {
    corpus::replay("receiver", receiver::check);
}

#[test]
fn repairs_stay_within_their_bounds_in_every_story_of_the_corpus() {
    corpus::replay("nak", nak::check);
}

#[test]
fn messages_come_out_as_they_went_in_in_every_story_of_the_corpus() {
    corpus::replay("reassembly", reassembly::check);
}

#[test]
fn what_is_acknowledged_is_stored_in_every_story_of_the_corpus() {
    corpus::replay("acknowledge", acknowledge::check);
}
