//! What the kernel tells beside a datagram: control messages (`cmsg(3)`).
//!
//! Two kinds are asked for: how many datagrams the socket has dropped (`SO_RXQ_OVFL`, `socket(7)`), and how long each of
//! those is that come in one piece (`UDP_GRO`, `udp(7)`). Both carry an int.

use std::ffi::c_int;
use std::mem::offset_of;

use libc::{cmsghdr, mmsghdr};

/// Bytes of a message's header.
const HEADER: usize = size_of::<cmsghdr>();
/// Messages begin at multiples of this, as do the data behind their headers: `CMSG_ALIGN`.
const ALIGN: usize = size_of::<usize>();
/// Room for one message: `CMSG_SPACE(sizeof(int))`.
const SPACE: usize = (HEADER + size_of::<c_int>()).next_multiple_of(ALIGN);
/// Room for one of each kind.
pub(crate) const CONTROL_LEN: usize = 2 * SPACE;

const _: () = assert!(HEADER.is_multiple_of(ALIGN) && align_of::<Control>().is_multiple_of(ALIGN));

/// What the kernel writes them into.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Control([u8; CONTROL_LEN]);

impl Control {
    pub(crate) const EMPTY: Self = Self([0; CONTROL_LEN]);

    /// The count of an `SO_RXQ_OVFL` message.
    #[inline]
    pub(crate) fn dropped(&self, header: &mmsghdr) -> Option<u32> {
        if is_empty(header) {
            return None;
        }
        self.find(header, libc::SOL_SOCKET, libc::SO_RXQ_OVFL).map(c_int::cast_unsigned)
    }

    /// The size of a `UDP_GRO` message, in bytes: that of each datagram of a train but the last, which may be shorter.
    /// 0 if that cannot be what it says.
    pub(crate) fn segment_size(&self, header: &mmsghdr) -> Option<usize> {
        self.find(header, libc::SOL_UDP, libc::UDP_GRO).map(|size| usize::try_from(size).unwrap_or(0))
    }

    fn find(&self, header: &mmsghdr, level: c_int, kind: c_int) -> Option<c_int> {
        #[allow(clippy::unnecessary_cast, reason = "the type differs between libraries")]
        let len = header.msg_hdr.msg_controllen as usize;
        find(self.0.get(..len)?, level, kind)
    }
}

/// Whether the kernel has written none.
#[inline]
pub(crate) fn is_empty(header: &mmsghdr) -> bool {
    header.msg_hdr.msg_controllen == 0
}

/// The int of the first message of a kind. What does not fit where it stands ends the search.
fn find(mut messages: &[u8], level: c_int, kind: c_int) -> Option<c_int> {
    let int = |bytes: &[u8], at: usize| Some(c_int::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    loop {
        // The length counts the header as well, and comes first (`include/linux/socket.h`).
        let len = usize::from_ne_bytes(*messages.first_chunk()?);
        let message = messages.get(..len).filter(|message| message.len() >= HEADER)?;
        let is_it = int(message, offset_of!(cmsghdr, cmsg_level)) == Some(level)
            && int(message, offset_of!(cmsghdr, cmsg_type)) == Some(kind);
        if is_it {
            return int(message, HEADER);
        }
        messages = messages.get(len.next_multiple_of(ALIGN)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the kernel writes it, with a length of its own choice.
    fn message(len: usize, level: c_int, kind: c_int, data: &[u8]) -> Vec<u8> {
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        bytes
    }

    fn whole(level: c_int, kind: c_int, value: c_int) -> Vec<u8> {
        message(HEADER + 4, level, kind, &value.to_ne_bytes())
    }

    #[test]
    fn each_kind_is_found_beside_the_other_in_either_order() {
        let (a, b) = (whole(1, 2, 77), whole(17, 104, -1));
        for both in [[a.clone(), b.clone()].concat(), [b, a].concat()] {
            assert_eq!((find(&both, 1, 2), find(&both, 17, 104)), (Some(77), Some(-1)));
            assert_eq!((find(&both, 1, 104), find(&both, 17, 2)), (None, None));
        }
        assert_eq!(find(&[], 1, 2), None);
    }

    #[test]
    fn messages_that_lie_about_their_length_hide_what_follows_but_do_no_harm() {
        let behind = whole(1, 2, 77);
        for len in (0..HEADER + 4).chain([HEADER + 9, 200, usize::MAX - 7, usize::MAX]) {
            for level in [1, 3] {
                let first = message(len, level, 2, &5i32.to_ne_bytes());
                let all = [&first[..], &behind].concat();
                let found = find(&all, 1, 2);
                assert!(
                    [None, Some(77)].contains(&found) || level == 1 && found == Some(5),
                    "{len} {found:?}"
                );
            }
        }
    }

    #[test]
    fn whatever_is_cut_off_the_end_is_not_read() {
        let both = [whole(1, 2, 77), whole(17, 104, 9)].concat();
        for len in 0..both.len() {
            let found = find(&both[..len], 17, 104);
            assert_eq!(found, (len >= SPACE + HEADER + 4).then_some(9), "{len}");
        }
    }
}
