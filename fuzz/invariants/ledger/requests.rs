//! What a receiver asks for is missing, and is not asked for too often.

use std::collections::HashSet;

use headcast_proto::receiver::{ASK_AGAIN_MIN_NS, NAK_MAX};
use headcast_proto::repair::ANSWER_MAX;
use headcast_proto::{Datagram, Kind, Now, Receiver, Session, StreamId, body};

use super::Ledger;

impl Ledger {
    pub(super) fn take_requests(&mut self, of: &mut Receiver, now: Now) {
        let mut bytes = [0; NAK_MAX];
        let before = *of.stats();
        let (mut requests, mut requested) = (0, 0);
        while let Some(request) = of.request(now, &mut bytes) {
            let nak = Datagram::parse(&bytes[..request.len]).expect("a request is a valid datagram");
            assert_eq!(nak.kind(), Kind::Nak);
            let (head, entries) = body::nak(nak.payload()).expect("a request for repairs");
            let named: Vec<_> = body::nak_sequences(entries).collect();
            assert!((1..=ANSWER_MAX).contains(&named.len()), "{} sequences in a request", named.len());
            assert_eq!(named.iter().collect::<HashSet<_>>().len(), named.len(), "named twice: {named:?}");
            let id = StreamId {
                publisher: head.publisher.get(),
                session: Session::from_bits(head.session.get()),
                stream: head.stream.get(),
            };
            self.asks(id, &named, now);
            requests += 1;
            requested += named.len() as u64;
        }
        let stats = of.stats();
        assert_eq!(
            (stats.requests - before.requests, stats.requested - before.requested),
            (requests, requested)
        );
    }

    fn asks(&mut self, id: StreamId, named: &[u64], now: Now) {
        let known = self.known(id);
        assert!(known.may_be_repaired, "nobody would answer");
        assert_eq!(known.current, Some(id.session), "asked for a session that is over");
        let heard = self.heard(id);
        for seq in named {
            assert!(!heard.has(*seq) && !heard.is_told(*seq), "asked for what is not missing: {seq}");
            let before = heard.asked_ns.insert(*seq, now.mono_ns);
            let soon = before.is_some_and(|before| now.mono_ns - before < ASK_AGAIN_MIN_NS);
            assert!(!soon, "asked for again too soon: {seq}");
        }
    }
}
