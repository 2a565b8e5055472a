//! What the fuzzer's corpus holds, replayed without a fuzzer.

#[path = "../../../fuzz/invariants/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/invariants/peers_file.rs"]
mod peers_file;

#[test]
fn every_list_of_the_corpus_is_taken_as_a_whole_or_refused_for_its_first_wrong_line() {
    corpus::replay("peers_file", peers_file::check);
}
