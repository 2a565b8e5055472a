//! What the kernel writes where the headers point, by the one in `sys/miri.rs`.

use std::io;
use std::os::fd::AsFd;

use super::*;
use crate::sys::Kernel;

/// Datagrams of all these lengths come to be received, from ports 1, 2, 3...
fn arrive(lens: std::ops::Range<usize>) {
    Kernel::with(|kernel| {
        for (port, len) in (1..).zip(lens) {
            let from = SocketAddr::from(([1, 2, 3, 4, 5, 6, 7, 8], port));
            kernel.arrived.push_back((Some(from), (0..).take(len).collect()));
        }
    });
}

#[test]
fn every_datagram_comes_into_its_buffer_call_after_call() {
    let mut batch = ReceiveBatch::new();
    let mut buffers = vec![vec![0; 12]; 3];
    for _ in 0..2 {
        arrive(7..12);
        for (lens, count) in [([7, 8, 8], 3), ([8, 8, 0], 2)] {
            assert_eq!(batch.receive(io::stdin().as_fd(), &mut buffers, 4), Ok(count));
            for at in 0..count {
                let meta = batch.meta(at);
                assert_eq!(meta.len, lens[at]);
                assert!(buffers[at][4..4 + meta.len].iter().copied().eq((0..).take(meta.len)));
            }
        }
        assert_eq!(batch.receive(io::stdin().as_fd(), &mut buffers, 4), Err(Errno::EAGAIN));
    }
}

#[test]
fn what_does_not_fit_goes_on_in_the_overflow() {
    let mut batch = ReceiveBatch::new();
    let mut buffers = [[0; 8]; BATCH_MAX + 1];
    let mut overflows = vec![vec![0; 4].into_boxed_slice(); BATCH_MAX + 1];
    arrive(0..BATCH_MAX + 1);
    for first in [0, BATCH_MAX] {
        let count = if first == 0 { BATCH_MAX } else { 1 };
        let received = batch.receive_with_overflow(io::stdin().as_fd(), &mut buffers, 2, &mut overflows);
        assert_eq!(received, Ok(count));
        for (at, len) in (first..).take(count).enumerate() {
            let meta = batch.meta(at);
            assert_eq!((meta.len, meta.truncated), (len.min(10), len > 10));
            assert_eq!(meta.from.map(|from| usize::from(from.port())), Some(len + 1));
            let content = buffers[at][2..].iter().chain(&overflows[at]).copied();
            assert!(content.take(meta.len).eq((0..).take(meta.len)));
        }
    }
}

#[test]
fn sources_of_every_kind_are_told_and_so_are_drops() {
    let v4 = SocketAddr::from(([127, 0, 0, 1], 1));
    let mapped: SocketAddr = "[::ffff:127.0.0.1]:1".parse().expect("an address");
    Kernel::with(|kernel| {
        kernel.arrived.extend([Some(v4), Some(mapped), None].map(|from| (from, vec![])));
        kernel.dropped = Some(u32::MAX);
    });
    let mut batch = ReceiveBatch::new();
    // None of the length of what comes: there is nothing to write to.
    assert_eq!(batch.receive(io::stdin().as_fd(), &mut [[]; 3], 0), Ok(3));
    assert_eq!([0, 1, 2].map(|at| batch.meta(at).from), [Some(v4), Some(v4), None]);
    assert_eq!([0, 1, 2].map(|at| batch.meta(at).dropped), [Some(u32::MAX); 3]);

    Kernel::with(|kernel| {
        kernel.arrived.push_back((None, vec![]));
        kernel.dropped = None;
    });
    assert_eq!(batch.receive(io::stdin().as_fd(), &mut [[]], 0), Ok(1));
    assert_eq!(batch.meta(0).dropped, None);
}

#[test]
fn a_batch_may_go_to_another_thread() {
    let mut batch = ReceiveBatch::new();
    arrive(1..2);
    assert_eq!(batch.receive(io::stdin().as_fd(), &mut [[0; 4]], 0), Ok(1));
    let thread = std::thread::spawn(move || {
        arrive(2..4);
        let received = batch.receive(io::stdin().as_fd(), &mut [[0; 4]; 4], 0);
        (received, batch.meta(1).len)
    });
    assert_eq!(thread.join().expect("no panic"), (Ok(2), 3));
}
