//! What the fuzzer's corpus of trains holds, replayed without a fuzzer.

#[path = "../../../fuzz/invariants/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/invariants/ledger.rs"]
mod ledger;
#[path = "../../../fuzz/invariants/script.rs"]
mod script;
#[path = "../../../fuzz/invariants/segments.rs"]
mod segments;

#[test]
fn every_byte_of_every_train_of_the_corpus_is_read_once() {
    corpus::replay("segments", segments::check);
}
