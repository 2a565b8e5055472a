//! What the kernel finds where the headers point, by the one in `sys/miri.rs`.

use std::io;
use std::os::fd::AsFd;

use super::*;
use crate::sys::Kernel;

const MS: u64 = 1_000_000;

fn peers(ports: std::ops::Range<u16>) -> Vec<SocketAddr> {
    ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
}

/// A pass of the batch to its end, in a buffer of its own that is gone afterwards; returns who got it.
fn pass(batch: &mut Batch, now_ns: u64) -> Vec<u16> {
    let message = Box::new(now_ns.to_ne_bytes());
    batch.begin(now_ns, true);
    assert_eq!(batch.flush(io::stdin().as_fd(), &*message, now_ns).outcome, Outcome::Done);
    ports(&*message)
}

/// Takes what was sent, all of it this datagram; returns to whom.
fn ports(datagram: &[u8]) -> Vec<u16> {
    let sent = Kernel::with(|kernel| std::mem::take(&mut kernel.sent));
    assert!(sent.iter().all(|(_, content)| content == datagram));
    sent.iter().map(|(to, _)| to.port()).collect()
}

/// What becomes of the next datagrams; what of the others, that they are sent.
fn decide(verdicts: impl IntoIterator<Item = Result<(), Errno>>) {
    Kernel::with(|kernel| kernel.verdicts.extend(verdicts));
}

#[test]
fn every_pass_reaches_everybody_in_turn() {
    for call_max in [1, 2, CALL_MAX] {
        let mut batch = Batch::new(&peers(1..4), call_max);
        let passes = [0, 1, 2, 3].map(|now_ns| pass(&mut batch, now_ns));
        assert_eq!(passes, [[2, 3, 1], [3, 1, 2], [1, 2, 3], [2, 3, 1]]);
    }
}

#[test]
fn batches_of_any_size_and_family_come_and_go() {
    let six = |port| SocketAddr::from(([1, 2, 3, 4, 5, 6, 7, port], port));
    for peers in [vec![], peers(7..8), vec![six(7)], (1..4).map(six).collect()] {
        let mut batch = Batch::new(&peers, CALL_MAX);
        batch.begin(0, false);
        let progress = batch.flush(io::stdin().as_fd(), b"x", 0);
        assert_eq!((progress.sent, progress.outcome), (peers.len(), Outcome::Done));
        let sent = Kernel::with(|kernel| std::mem::take(&mut kernel.sent));
        assert!(sent.iter().map(|(to, _)| to).eq(&peers));
    }
}

#[test]
fn a_pass_goes_on_where_it_stopped_even_in_another_thread() {
    let mut batch = Batch::new(&peers(1..6), CALL_MAX);
    batch.begin(0, false);
    decide([Ok(()), Ok(()), Err(Errno::EAGAIN)]);
    let message = b"message".to_vec();
    let progress = batch.flush(io::stdin().as_fd(), &message, 0);
    assert_eq!((progress.sent, progress.outcome), (2, Outcome::Blocked));
    assert_eq!(ports(&message), [1, 2]);

    decide([Err(Errno::EINTR)]);
    assert_eq!(batch.send_one(io::stdin().as_fd(), b"one", 0), Ok(()), "after a signal");
    assert_eq!(ports(b"one"), [1]);
    drop(message);
    let message = b"message".to_vec();
    decide([Err(Errno::EINTR), Err(Errno::ENOBUFS)]);
    let progress = batch.flush(io::stdin().as_fd(), &message, 0);
    assert_eq!((progress.sent, progress.transient, progress.outcome), (2, 1, Outcome::Done));
    assert_eq!(ports(&message), [4, 5]);
    drop(message);

    let thread = std::thread::spawn(move || pass(&mut batch, 1));
    assert_eq!(thread.join().expect("no panic"), [2, 3, 4, 5, 1]);
}

#[test]
fn a_peer_enters_the_quarantine_and_leaves_it() {
    let mut batch = Batch::new(&peers(1..5), CALL_MAX);
    for now_ns in [0, 6 * MS, 12 * MS] {
        batch.begin(now_ns, false);
        decide([Ok(()), Err(Errno::EPERM)]);
        assert_eq!(batch.flush(io::stdin().as_fd(), b"x", now_ns).rejected, 1);
        assert_eq!(ports(b"x"), [1, 3, 4]);
    }
    assert_eq!((pass(&mut batch, 13 * MS), batch.quarantined()), (vec![3, 4, 1], 1));
    assert_eq!(pass(&mut batch, 14 * MS), [4, 1, 3]);
    decide([Err(Errno::EPERM)]);
    assert_eq!(batch.send_one(io::stdin().as_fd(), b"x", 1), Err(SendError::PeerRejected(Errno::EPERM)));
    assert_eq!(batch.send_one(io::stdin().as_fd(), b"x", 1), Ok(()));
    assert_eq!(ports(b"x"), [2]);

    let mut next = Batch::new(&peers(2..7), CALL_MAX);
    next.inherit(&batch);
    drop(batch);
    assert_eq!(pass(&mut next, 15 * MS), [6, 3, 4, 5], "it goes on one further than the last");
    assert_eq!((pass(&mut next, 200 * MS), next.quarantined()), (vec![6, 2, 3, 4, 5], 0));
}

#[test]
fn a_whole_batch_in_quarantine_sends_nothing() {
    let mut batch = Batch::new(&peers(1..3), CALL_MAX);
    for now_ns in [0, 6 * MS, 12 * MS] {
        decide([Err(Errno::EPERM), Err(Errno::EPERM)]);
        assert_eq!(pass(&mut batch, now_ns), []);
    }
    assert_eq!(pass(&mut batch, 13 * MS), []);
    assert_eq!(batch.quarantined(), 2);
    batch.begin(200 * MS, true);
    assert_eq!(batch.give_up(), 2, "their time is over");
}

#[test]
fn without_sendmmsg_everybody_is_reached_one_by_one() {
    let mut batch = Batch::new(&peers(1..4), CALL_MAX);
    decide([Err(Errno::ENOSYS)]);
    batch.begin(0, false);
    let progress = batch.flush(io::stdin().as_fd(), b"x", 0);
    assert_eq!((progress.sent, progress.calls), (3, 4));
    assert_eq!(ports(b"x"), [1, 2, 3]);
}

#[test]
fn a_pass_that_fails_for_good_leaves_the_rest_untried() {
    let mut batch = Batch::new(&peers(1..4), CALL_MAX);
    decide([Ok(()), Err(Errno::EBADF)]);
    batch.begin(0, false);
    let progress = batch.flush(io::stdin().as_fd(), b"x", 0);
    assert_eq!((progress.sent, progress.outcome), (1, Outcome::Fatal(Errno::EBADF)));
    assert_eq!(batch.give_up(), 2);
}
