//! What the headers and control messages make of the memory, by the kernel in `sys/miri.rs`.

use super::*;
use std::io;
use std::os::fd::AsFd;

use crate::sys::Kernel;

#[test]
fn what_the_headers_point_at_stays_where_it_is_when_the_inbox_moves() {
    let mut inbox = Inbox::new(12);
    for round in 0..3u16 {
        let from = SocketAddr::from(([1, 2, 3, 4], 7 + round));
        let datagrams = [9, 12, 15].map(|len| (Some(from), (0..len).collect()));
        Kernel::with(|kernel| kernel.arrived.extend(datagrams));
        let mut moved = Box::new(inbox);
        assert_eq!(moved.receive(io::stdin().as_fd()), Ok(3));
        for (at, len) in [9usize, 12, 15].into_iter().enumerate() {
            let (bytes, truncated) = moved.datagram(at);
            assert!(bytes.iter().copied().eq((0..).take(len.min(12))) && truncated == (len > 12));
            assert_eq!((moved.source(at), moved.dropped(at)), (Some(from), None));
        }
        assert_eq!(moved.receive(io::stdin().as_fd()), Err(Errno::EAGAIN));
        inbox = *moved;
    }
}

/// What an inbox with room for 12 bytes finds in one datagram of `len` bytes: each segment, and its flaw.
fn found(inbox: &mut Inbox, len: u8) -> Vec<(Vec<u8>, Option<Flaw>)> {
    Kernel::with(|kernel| kernel.arrived.push_back((None, (0..len).collect())));
    assert_eq!(inbox.receive(io::stdin().as_fd()), Ok(1));
    let opened = inbox.next_buffer().expect("one buffer");
    assert_eq!(opened.bytes, usize::from(len.min(12)));
    let mut found = vec![(inbox.segment().to_vec(), inbox.flaw())];
    while inbox.next_segment() {
        found.push((inbox.segment().to_vec(), inbox.flaw()));
    }
    assert_eq!((inbox.next_buffer(), opened.datagrams), (None, found.len()));
    found
}

#[test]
fn whatever_size_the_kernel_tells_no_byte_outside_is_read() {
    let mut inbox = Inbox::new(12);
    for dropped in [None, Some(7)] {
        for (size, len) in
            [0, 1, 5, 11, 12, 13].into_iter().flat_map(|size| [0, 1, 10, 12, 13].map(move |len| (size, len)))
        {
            Kernel::with(|kernel| (kernel.dropped, kernel.segment_size) = (dropped, Some(size)));
            let found = found(&mut inbox, len);
            assert_eq!(inbox.dropped(0), dropped);
            let bytes: Vec<u8> = (0..len.min(12)).collect();
            let flaw = |last: bool| match size {
                0 => Some(Flaw::SegmentSize),
                _ => (last && len > 12).then_some(Flaw::Truncated),
            };
            let size = if size == 0 { 20 } else { usize::try_from(size).expect("not negative") };
            let parts: Vec<_> = segments(&bytes, size).collect();
            let expected: Vec<_> =
                (1..).zip(&parts).map(|(nth, part)| (part.to_vec(), flaw(nth == parts.len()))).collect();
            assert_eq!(found, expected, "{len} bytes in segments of {size}");
        }
    }
    for (size, flaw) in [(-1, Some(Flaw::SegmentSize)), (i32::MIN, Some(Flaw::SegmentSize)), (i32::MAX, None)]
    {
        Kernel::with(|kernel| kernel.segment_size = Some(size));
        assert_eq!(found(&mut inbox, 5), [(vec![0, 1, 2, 3, 4], flaw)]);
    }
}
